// SPDX-License-Identifier: MIT
// Threads: channels, locks, condition variables, panics that the joining thread sees, thread-local values with destructors.
// kiln: anew
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

static DROPPED: AtomicU64 = AtomicU64::new(0);

struct Counted(u64);
impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(self.0, Ordering::SeqCst);
    }
}
thread_local!(static LOCAL: RefCell<Vec<Counted>> = RefCell::new(Vec::new()));

fn main() {
    let (sender, receiver) = mpsc::sync_channel::<u64>(4);
    let producers: Vec<_> = (0..4u64)
        .map(|id| {
            let sender = sender.clone();
            thread::spawn(move || (0..2000).for_each(|i| sender.send(i * 4 + id).unwrap()))
        })
        .collect();
    drop(sender);
    let sum: u64 = receiver.iter().sum();
    producers.into_iter().for_each(|p| p.join().unwrap());
    println!("received {sum}");

    let shared = Arc::new((Mutex::new(0u32), Condvar::new()));
    let players: Vec<_> = (0..3u32)
        .map(|id| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for _ in 0..200 {
                    let mut turn = shared.1.wait_while(shared.0.lock().unwrap(), |turn| *turn % 3 != id).unwrap();
                    *turn += 1;
                    shared.1.notify_all();
                }
            })
        })
        .collect();
    players.into_iter().for_each(|p| p.join().unwrap());
    println!("turns {}", shared.0.lock().unwrap());

    let table = RwLock::new(HashMap::new());
    let barrier = Barrier::new(6);
    thread::scope(|scope| {
        for id in 0..6u64 {
            let (table, barrier) = (&table, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for i in 0..300 {
                    table.write().unwrap().entry(i % 10).and_modify(|v| *v += id).or_insert(id);
                    let _ = table.read().unwrap().get(&(i % 7)).copied();
                }
                LOCAL.with(|local| local.borrow_mut().extend((0..10).map(|_| Counted(1))));
            });
        }
    });
    println!("table {} dropped", table.read().unwrap().values().sum::<u64>());

    std::panic::set_hook(Box::new(|_| {}));
    let panics: Vec<String> = (0..20)
        .map(|i| thread::spawn(move || if i % 2 == 0 { panic!("on purpose") } else { [0u8; 4][i + std::env::args().count() - 1] }))
        .map(|t| t.join())
        .filter_map(|r| r.err())
        .map(|e| e.downcast_ref::<&str>().map(|s| s.to_string()).unwrap_or_else(|| "out of bounds".into()))
        .collect();
    println!("panics {}", panics.iter().filter(|p| *p == "on purpose").count());
    println!("others {}", panics.iter().filter(|p| *p == "out of bounds").count());

    // Ended threads run destructors before the scope or join sees the end, or soon after.
    while DROPPED.load(Ordering::SeqCst) < 60 {
        thread::sleep(Duration::from_millis(1));
    }
    println!("dropped {}", DROPPED.load(Ordering::SeqCst));
    println!("many {}", (0..300).map(|i| thread::spawn(move || i)).map(|t| t.join().unwrap()).sum::<i32>());
}
