//! What the wiretap's options take, and what they refuse.

use std::str::FromStr;

use wiretap::{Delay, Percent, Point, Rate, Time};

#[test]
fn sizes_times_and_shares_are_read_as_people_write_them() {
    assert_eq!("20%".parse::<Percent>().unwrap(), Percent(20));
    assert_eq!("10kB/s".parse::<Rate>().unwrap(), Rate(10_000));
    assert_eq!("3 messages".parse::<Point>().unwrap(), Point::Messages(3));
    assert_eq!("1message".parse::<Point>().unwrap(), Point::Messages(1));
    assert_eq!("1000B".parse::<Point>().unwrap(), Point::Bytes(1000));
    for text in ["50ms±20ms", "50ms+-20ms", "50ms ± 20ms"] {
        let delay: Delay = text.parse().unwrap();
        assert_eq!(delay.range(), 30_000..=70_000, "{text}");
    }
    assert_eq!("2s".parse::<Delay>().unwrap().range(), 2_000_000..=2_000_000);
}

#[test]
fn nonsense_is_refused() {
    assert!(["", "20", "101%", "-1%", "x%"].iter().all(is_no::<Percent>));
    assert!(
        ["", "s", "5", "5 h", "-5s", "99999999999999999999s", "9999999s"]
            .iter()
            .all(is_no::<Time>)
    );
    assert!(["20ms±50ms", "±", "5s+-", "1s±1s±1s"].iter().all(is_no::<Delay>));
    assert!(
        ["10kB", "0B/s", "/s", "99999999999999999MB/s"].iter().all(is_no::<Rate>)
    );
    assert!(["3", "0messages", "B", "3 m", "é3B"].iter().all(is_no::<Point>));
}

fn is_no<T: FromStr>(text: &&str) -> bool {
    text.parse::<T>().is_err()
}
