// SPDX-License-Identifier: MIT
// Child processes: what exec answers reaches the parent; exit codes, signals, pipes; a stack overflow that the library reports.
// kiln: interp
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::{env, io, process, thread, time::Duration};

fn deep(n: u64) -> u64 {
    let room = [n; 64];
    if n == u64::MAX { 0 } else { deep(n + 1) + std::hint::black_box(room)[(n % 64) as usize] }
}

fn child(what: &str) {
    match what {
        "upper" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).unwrap();
            print!("{}", text.to_uppercase());
        }
        "exit" => process::exit(7),
        "abort" => process::abort(),
        "sleep" => thread::sleep(Duration::from_secs(60)),
        "overflow" => println!("{}", deep(0)),
        "overflow-thread" => println!("{}", thread::spawn(|| deep(0)).join().unwrap()),
        "exec" => println!("{}", Command::new("/nowhere/program").exec().kind()),
        _ => println!("{}", env::var("GREETING").unwrap_or_default()),
    }
}

fn main() {
    if let Some(what) = env::args().nth(1) {
        return child(&what);
    }
    let command = |what: &str| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg(what).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut upper = command("upper").spawn().unwrap();
    upper.stdin.take().unwrap().write_all(b"from the parent").unwrap();
    println!("{}", String::from_utf8(upper.wait_with_output().unwrap().stdout).unwrap());
    println!("{:?} {:?}", command("exit").status().unwrap().code(), command("abort").status().unwrap().signal());
    let mut sleeper = command("sleep").spawn().unwrap();
    sleeper.kill().unwrap();
    println!("{:?}", sleeper.wait().unwrap().signal());

    println!("{}", Command::new("/nowhere/program").spawn().unwrap_err().kind());
    println!("{}", Command::new("/etc").spawn().unwrap_err().kind());
    println!("{}", command("exit").current_dir("/nowhere").spawn().unwrap_err().kind());
    // With a closure the library forks; without, it uses posix_spawn.
    let failing = unsafe { command("exit").pre_exec(|| Err(io::Error::from_raw_os_error(28))).spawn() };
    println!("{:?}", failing.unwrap_err().raw_os_error());
    println!("{:?}", unsafe { command("exit").pre_exec(|| Ok(())).status() }.unwrap().code());
    print!("{}", String::from_utf8(command("exec").output().unwrap().stdout).unwrap());
    print!("{}", String::from_utf8(command("greet").env("GREETING", "hello").output().unwrap().stdout).unwrap());

    for what in ["overflow", "overflow-thread"] {
        let output = command(what).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).contains("has overflowed its stack");
        println!("{what} {told} {:?}", output.status.signal());
    }
    let many: Vec<_> = (0..4)
        .map(|_| {
            let mut greet = command("greet");
            thread::spawn(move || (0..5).filter(|i| greet.env("GREETING", i.to_string()).output().unwrap().stdout == format!("{i}\n").as_bytes()).count())
        })
        .collect();
    println!("many {}", many.into_iter().map(|t| t.join().unwrap()).sum::<usize>());
}
