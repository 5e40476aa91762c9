//! Two threads need two locks and take them in different orders: a deadlock.

use std::sync::{Barrier, Mutex};
use std::thread;

fn main() {
    let (fork, knife) = (Mutex::new(()), Mutex::new(()));
    let both_hold_one = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _fork = fork.lock();
            both_hold_one.wait();
            let _knife = knife.lock();
        });
        scope.spawn(|| {
            let _knife = knife.lock();
            println!("Each thread takes one lock and waits for the other");
            both_hold_one.wait();
            let _fork = fork.lock();
        });
    });
    println!("Both threads have eaten");
}
