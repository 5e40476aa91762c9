//! Names the libraries of Windows that Paho's library in C calls, and its crate does not
//! name.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_WINDOWS").is_some() {
        let is_msvc = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "msvc");
        for library in ["advapi32", "crypt32", "rpcrt4"] {
            match is_msvc {
                true => println!("cargo::rustc-link-arg={library}.lib"),
                false => println!("cargo::rustc-link-arg=-l{library}"),
            }
        }
    }
}
