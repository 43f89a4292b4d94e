%% SPDX-License-Identifier: MIT
%% Processes on several schedulers, messages, links, timers, programs of the system as ports.
-module(processes).
-export([main/1]).

ring(0, First) -> receive {N, From} -> First ! {N, From} end, ring_wait(First);
ring(Count, First) -> Next = spawn(fun() -> ring(Count - 1, First) end), forward(Next).
ring_wait(First) -> receive stop -> ok; Message -> First ! Message, ring_wait(First) end.
forward(Next) -> receive stop -> Next ! stop; Message -> Next ! Message, forward(Next) end.

rounds(_, 0, Sum) -> Sum;
rounds(Ring, Left, Sum) -> Ring ! {Left, self()}, receive {N, _} -> rounds(Ring, Left - 1, Sum + N) end.

fib(N) when N < 2 -> N;
fib(N) -> fib(N - 1) + fib(N - 2).

main(_) ->
    Self = self(),
    Ring = spawn(fun() -> ring(300, Self) end),
    io:format("ring ~p~n", [rounds(Ring, 50, 0)]),
    Ring ! stop,
    Workers = [spawn_monitor(fun() -> Self ! {fib, fib(15 + N rem 5)} end) || N <- lists:seq(1, 40)],
    Sum = lists:sum([receive {fib, F} -> F end || _ <- Workers]),
    [receive {'DOWN', Ref, process, _, normal} -> ok end || {_, Ref} <- Workers],
    io:format("fib ~p~n", [Sum]),
    process_flag(trap_exit, true),
    Failing = [spawn_link(fun() -> exit({on_purpose, N}) end) || N <- lists:seq(1, 20)],
    io:format("exits ~p~n", [length([receive {'EXIT', Pid, {on_purpose, _}} -> ok end || Pid <- Failing])]),
    [erlang:send_after(N rem 10, Self, tick) || N <- lists:seq(1, 100)],
    io:format("ticks ~p~n", [length([receive tick -> ok after 20000 -> exit(late) end || _ <- lists:seq(1, 100)])]),
    Table = ets:new(counts, [public, {write_concurrency, true}]),
    ets:insert(Table, {count, 0}),
    Counters = [spawn_monitor(fun() -> [ets:update_counter(Table, count, 1) || _ <- lists:seq(1, 1000)] end) || _ <- lists:seq(1, 8)],
    [receive {'DOWN', Ref, process, _, _} -> ok end || {_, Ref} <- Counters],
    io:format("counted ~p~n", [ets:lookup_element(Table, count, 2)]),
    Binary = << <<N:16>> || N <- lists:seq(1, 5000) >>,
    Compressed = [zlib:compress(binary:part(Binary, 0, N * 1000)) || N <- lists:seq(1, 9)],
    io:format("zlib ~p~n", [lists:sum([byte_size(zlib:uncompress(C)) || C <- Compressed])]),
    io:format("caught ~p~n", [try 1 div (length(Compressed) - 9) catch error:badarith -> badarith end]).
