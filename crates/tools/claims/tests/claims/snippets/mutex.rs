//! Two threads change one variable in turn: whoever holds the lock.

use std::sync::Mutex;
use std::thread;

fn main() {
    let count = Mutex::new(0);
    thread::scope(|scope| {
        scope.spawn(|| (0..1000).for_each(|_| *count.lock().unwrap() += 1));
        scope.spawn(|| (0..1000).for_each(|_| *count.lock().unwrap() += 1));
    });
    println!("Counted to {}", count.into_inner().unwrap());
}
