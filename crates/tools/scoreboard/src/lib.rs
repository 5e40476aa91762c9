//! The scoreboard: measures the same job over every transport of the lecture, in Rust, in
//! Python and by a fast reference program, the limit. It prints tables and draws charts.
//! It measures the programs on the slides, in release builds, and brings its own load.

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
