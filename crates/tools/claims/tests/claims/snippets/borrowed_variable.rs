//! A thread changes a variable of a function that ends before it: a data race with
//! whatever uses that memory next.

use std::thread::{self, JoinHandle};

fn main() {
    count_in_background().join().unwrap();
}

fn count_in_background() -> JoinHandle<()> {
    let mut count = 0;
    // Refused here: the thread may outlive the variable that it borrows.
    thread::spawn(|| (0..1000).for_each(|_| count += 1))
}
