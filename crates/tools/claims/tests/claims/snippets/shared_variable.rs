//! Two threads change one variable: a data race.

use std::thread;

fn main() {
    let mut count = 0;
    thread::scope(|scope| {
        scope.spawn(|| (0..1000).for_each(|_| count += 1));
        // Refused here: the first thread has borrowed the variable, for itself alone.
        scope.spawn(|| (0..1000).for_each(|_| count += 1));
    });
    println!("Counted to {count}");
}
