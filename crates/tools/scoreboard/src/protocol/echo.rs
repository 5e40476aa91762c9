//! What is sent comes back: TCP (RFC 9293) and UDP (RFC 768).

use anyhow::{Result, ensure};

use super::{Protocol, Taken, message};

pub struct Echo(pub Vec<u8>);

impl Protocol for Echo {
    fn write(&mut self, out: &mut Vec<u8>) {
        out.extend(&self.0);
    }

    fn read(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Option<Taken>> {
        let Some((echo, _)) = input.split_at_checked(self.0.len()) else {
            return Ok(None);
        };
        ensure!(echo == self.0, "the echo is not what was sent");
        message(echo.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::feed;
    use super::*;

    #[test]
    fn an_echo_is_complete_with_its_last_byte() {
        assert_eq!(feed(&mut Echo(b"abc".to_vec()), b"abcabc").0, 2);
    }

    #[test]
    fn another_echo_is_an_error() {
        assert!(Echo(b"abc".to_vec()).read(b"abd", &mut Vec::new()).is_err());
    }
}
