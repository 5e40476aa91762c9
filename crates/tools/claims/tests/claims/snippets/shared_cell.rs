//! Two threads change one cell, which is not made for threads: a data race.

use std::cell::Cell;
use std::thread;

fn main() {
    let count = Cell::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            // Refused here: a cell cannot be shared between threads.
            scope.spawn(|| (0..1000).for_each(|_| count.set(count.get() + 1)));
        }
    });
    println!("Counted to {}", count.get());
}
