;;; SPDX-License-Identifier: MIT
;;; Threads that are stopped by signals for each collection of garbage, code compiled while it runs, faults that become conditions.
(defvar *lock* (sb-thread:make-mutex))
(defvar *sum* 0)

(defun churn (id)
  (let ((kept (make-array 200 :initial-element nil)) (count 0))
    (dotimes (i 20000)
      (setf (aref kept (mod i 200)) (list id i (make-string (mod i 40))))
      (incf count (length (third (aref kept (mod (* i 7) 200))))))
    (sb-thread:with-mutex (*lock*) (incf *sum* count))
    count))

(let ((threads (loop for id below 4 collect (let ((id id)) (sb-thread:make-thread #'churn :arguments (list id))))))
  (dotimes (i 10) (gc :full (zerop (mod i 5))) (sleep 0.001))
  (format t "churned ~a ~a~%" (length (remove-duplicates (mapcar #'sb-thread:join-thread threads))) (plusp *sum*)))

(defun made (n) (funcall (compile nil `(lambda (x) (declare (fixnum x)) (loop repeat 100 sum (logxor x ,n)))) (* 3 n)))
(format t "made ~a~%" (loop for n below 60 sum (made n)))

(defun peek (address) (sb-sys:sap-ref-32 (sb-sys:int-sap address) 0))
(format t "faults ~a~%" (loop for i below 200 count (handler-case (progn (peek (* 8 i)) nil) (sb-sys:memory-fault-error () t))))
(format t "zero ~a~%" (handler-case (truncate 5 (length (list))) (division-by-zero () :caught)))

(let* ((semaphore (sb-thread:make-semaphore)) (answer nil)
       (thread (sb-thread:make-thread (lambda () (handler-case (progn (sb-thread:signal-semaphore semaphore) (loop))
                                                   (sb-sys:interactive-interrupt () (setf answer :interrupted)))))))
  (sb-thread:wait-on-semaphore semaphore)
  (sb-thread:interrupt-thread thread (lambda () (signal 'sb-sys:interactive-interrupt) (setf answer :late) (sb-thread:abort-thread)))
  (sb-thread:join-thread thread :default nil)
  (format t "thread ~a~%" answer))
(format t "timeout ~a~%" (handler-case (sb-ext:with-timeout 0.05 (loop)) (sb-ext:timeout () :caught)))
(sb-ext:exit :abort t :code (progn (finish-output) 0))
