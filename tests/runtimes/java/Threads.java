// SPDX-License-Identifier: MIT
// Threads of several kinds, locks, atomic variables, and the library's pools.
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;
import java.util.stream.*;

public class Threads {
    static int counter;
    static synchronized void count() { counter++; }

    static void contend() throws Exception {
        AtomicLong atomic = new AtomicLong();
        ReentrantLock lock = new ReentrantLock();
        int[] locked = new int[1];
        Thread[] threads = new Thread[6];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(() -> {
                for (int k = 0; k < 5000; k++) {
                    count();
                    atomic.incrementAndGet();
                    lock.lock();
                    try { locked[0]++; } finally { lock.unlock(); }
                }
            });
            threads[i].start();
        }
        for (Thread thread : threads) thread.join();
        System.out.println("contended " + counter + " " + atomic.get() + " " + locked[0]);
    }

    static void handOver() throws Exception {
        Object monitor = new Object();
        int[] turn = new int[1];
        Runnable player = () -> {
            int self = Thread.currentThread().getName().equals("one") ? 1 : 0;
            for (int i = 0; i < 300; i++) {
                synchronized (monitor) {
                    while (turn[0] % 2 != self)
                        try { monitor.wait(); } catch (InterruptedException e) { return; }
                    turn[0]++;
                    monitor.notifyAll();
                }
            }
        };
        Thread one = new Thread(player, "one"), two = new Thread(player, "two");
        one.start();
        two.start();
        one.join();
        two.join();
        System.out.println("turns " + turn[0]);
        Thread sleeper = new Thread(() -> {
            try { Thread.sleep(60000); } catch (InterruptedException e) { System.out.println("interrupted"); }
        });
        sleeper.start();
        sleeper.interrupt();
        sleeper.join();
    }

    static void pools() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Integer>> results = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            int n = i;
            results.add(pool.submit(() -> IntStream.range(0, 2000).map(x -> x % (n + 1)).sum()));
        }
        int sum = 0;
        for (Future<Integer> result : results) sum += result.get();
        pool.shutdown();
        System.out.println("pool " + sum + " " + pool.awaitTermination(20, TimeUnit.SECONDS));
        System.out.println("parallel " + IntStream.range(0, 100000).parallel().mapToLong(x -> (long) x * x).sum());
        Map<Integer, Long> groups = IntStream.range(0, 20000).boxed().parallel()
            .collect(Collectors.groupingByConcurrent(x -> x % 5, ConcurrentSkipListMap::new, Collectors.counting()));
        System.out.println("groups " + groups);
        try (ExecutorService virtual = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Integer>> many = new ArrayList<>();
            for (int i = 0; i < 500; i++) {
                int n = i;
                many.add(virtual.submit(() -> { Thread.sleep(n % 10); return n; }));
            }
            int all = 0;
            for (Future<Integer> one : many) all += one.get();
            System.out.println("virtual " + all);
        }
    }

    public static void main(String[] args) throws Exception {
        contend();
        handOver();
        pools();
    }
}
