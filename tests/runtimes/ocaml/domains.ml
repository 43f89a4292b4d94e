(* SPDX-License-Identifier: MIT *)
(* Domains that stop each other for collections, effects, exceptions from a full stack, signals. *)
type tree = Leaf | Node of tree * int * tree
let rec make depth = if depth = 0 then Leaf else Node (make (depth - 1), depth, make (depth - 1))
let rec count = function Leaf -> 0 | Node (l, _, r) -> 1 + count l + count r
let rec deep n = if n < 0 then 0 else 1 + deep (n + 1)

type _ Effect.t += Ask : int -> int Effect.t
let answered () =
  let body () = List.fold_left (fun sum n -> sum + Effect.perform (Ask n)) 0 (List.init 100 Fun.id) in
  Effect.Deep.(try_with body () { effc = fun (type a) (e : a Effect.t) ->
    match e with Ask n -> Some (fun (k : (a, _) continuation) -> continue k (n * 2)) | _ -> None })

let () =
  let work id () = List.fold_left (fun sum i -> sum + count (make (8 + ((i + id) mod 4)))) 0 (List.init 60 Fun.id) in
  let domains = List.init 3 (fun id -> Domain.spawn (work id)) in
  for _ = 1 to 20 do Gc.full_major () done;
  Printf.printf "counts %s\n%!" (String.concat " " (List.map (fun d -> string_of_int (Domain.join d)) domains));

  let cell = Atomic.make 0 and lock = Mutex.create () and held = ref 0 in
  let contend () = for _ = 1 to 5000 do Atomic.incr cell; Mutex.protect lock (fun () -> incr held) done in
  List.iter Domain.join (List.init 3 (fun _ -> Domain.spawn contend));
  Printf.printf "contended %d %d\n%!" (Atomic.get cell) !held;

  Printf.printf "effects %d\n%!" (answered ());
  let overflow () = try deep 0 with Stack_overflow -> 1 in
  Printf.printf "overflows %d %d\n%!" (overflow () + overflow ()) (Domain.join (Domain.spawn overflow));
  Printf.printf "zero %b bounds %b\n%!" (try 1 / (List.length []) > 0 with Division_by_zero -> true)
    (try [|1; 2|].(Array.length Sys.argv + 5) > 0 with Invalid_argument _ -> true);

  let signals = ref 0 in
  Sys.set_signal Sys.sigusr1 (Signal_handle (fun _ -> incr signals));
  for i = 1 to 50 do
    Unix.kill (Unix.getpid ()) Sys.sigusr1;
    while !signals < i do Domain.cpu_relax () done
  done;
  Sys.set_signal Sys.sigvtalrm (Signal_handle (fun _ -> raise Exit));
  ignore (Unix.setitimer Unix.ITIMER_VIRTUAL { Unix.it_interval = 0.; it_value = 0.02 });
  Printf.printf "signals %d timer %b\n%!" !signals (try while true do ignore (Sys.opaque_identity 1) done; false with Exit -> true)
