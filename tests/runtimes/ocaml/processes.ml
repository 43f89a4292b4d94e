(* SPDX-License-Identifier: MIT *)
(* Child processes and threads of the system. *)
(* kiln: anew *)
let () =
  if Array.length Sys.argv > 1 then begin
    match Sys.argv.(1) with
    | "upper" -> print_string (String.uppercase_ascii (input_line stdin))
    | _ -> exit 7
  end else begin
    let self = Sys.executable_name in
    let from_child, to_child = Unix.open_process_args self [| self; "upper" |] in
    output_string to_child "from the parent\n";
    close_out to_child;
    print_endline (input_line from_child);
    ignore (Unix.close_process (from_child, to_child));
    let status pid = match snd (Unix.waitpid [] pid) with WEXITED n -> n | WSIGNALED n -> n | WSTOPPED _ -> 1000 in
    Printf.printf "%d\n%!" (status (Unix.create_process self [| self; "exit" |] Unix.stdin Unix.stdout Unix.stderr));
    (try ignore (status (Unix.create_process "/nowhere/program" [| "x" |] Unix.stdin Unix.stdout Unix.stderr)); print_endline "started"
     with Unix.Unix_error (error, _, _) -> print_endline (Unix.error_message error));
    let children = List.init 8 (fun i -> match Unix.fork () with 0 -> Unix._exit i | pid -> pid) in
    Printf.printf "forked %d\n%!" (List.fold_left (fun sum pid -> sum + status pid) 0 children);
    let results = Array.make 6 0 in
    let threads = List.init 6 (fun i -> Thread.create (fun () -> for k = 1 to 2000 do results.(i) <- results.(i) + k; if k mod 100 = 0 then Thread.yield () done) ()) in
    List.iter Thread.join threads;
    Printf.printf "threads %d\n%!" (Array.fold_left (+) 0 results)
  end
