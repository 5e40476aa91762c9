//! Fixtures for async-tcp-echo.

use crate::{Fixtures, patch, python};

pub const FIXTURES: Fixtures = Fixtures {
    example: "async-tcp-echo",
    patches: &[
        // A thread besides the event loop.
        patch(
            "async-tcp-server",
            [
                "rlimit::increase_nofile_limit(16_384)?;",
                "std::thread::spawn(std::thread::park); rlimit::increase_nofile_limit(16_384)?;",
            ],
            &["a thousand clients at once are served by one thread"],
        ),
        // It forgets what one write has not sent.
        patch(
            "async-tcp-server",
            [
                "connection.write_all(&buffer[..length]).await?;",
                "let _ = connection.write(&buffer[..length]).await?;",
            ],
            &["eight mebibytes come back unchanged to a client that reads slowly"],
        ),
        patch(
            "async-tcp-server",
            ["tokio::time::sleep(Duration::from_millis(100)).await;", ""],
            &["out of open files the server pauses accepting and serves on"],
        ),
        patch(
            "async-tcp-server",
            [
                "tcp.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;",
                "",
            ],
            &["an accepted connection has a keepalive timer"],
        ),
        patch(
            "async-tcp-client",
            [
                "timeout(TIMEOUT, reply.read_to_end(&mut echo)).await",
                "Ok::<_, io::Error>(reply.read_to_end(&mut echo).await)",
            ],
            &["a silent and a dripping server do not hold the client for long"],
        ),
        patch(
            "async-tcp-client",
            [
                "results.into_iter().collect::<Result<()>>().context(count.clone())?;",
                "results.into_iter().collect::<Result<()>>()?;",
            ],
            &["the client counts the echoes that came when one does not"],
        ),
    ],
    in_python: &[python("async-tcp-server", "async_tcp_server.py", &[])],
};

#[test]
fn each_program_gets_its_verdict() {
    FIXTURES.judge();
}
