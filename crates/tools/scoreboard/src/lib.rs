//! The scoreboard: measures the same job over every transport of the lecture, beside
//! Python and beside what is possible, and draws what it found.
//!
//! What answers or relays are the programs on the slides, in release builds, and the
//! brokers; the load is the scoreboard's own.

pub mod chart;
pub mod kernel;
pub mod load;
pub mod machine;
pub mod measure;
pub mod page;
pub mod program;
pub mod protocol;
pub mod report;
pub mod rows;
pub mod run;
pub mod slides;
pub mod table;
