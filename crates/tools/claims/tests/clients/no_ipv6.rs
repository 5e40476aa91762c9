//! Loaded before the C library: `localhost` has the addresses ::1 and 127.0.0.1, in that
//! order, and no socket can be made for IPv6, as on a system that is built without it.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::null_mut;

const IPV4: u16 = 2;
const IPV6: u16 = 10;
const NO_SUCH_FAMILY: c_int = 97;
const NUMBER: c_long = if cfg!(target_arch = "x86_64") { 41 } else { 198 };

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

#[unsafe(no_mangle)]
pub extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    if domain == IPV6.into() {
        unsafe { *__errno_location() = NO_SUCH_FAMILY };
        return -1;
    }
    unsafe { syscall(NUMBER, domain, kind, protocol) as c_int }
}

#[repr(C)]
pub struct Addresses {
    flags: c_int,
    family: c_int,
    kind: c_int,
    protocol: c_int,
    length: u32,
    address: *mut c_void,
    name: *mut c_char,
    next: *mut Addresses,
}

/// The address is never freed: the program is a short one.
fn found<const N: usize>(family: u16, rest: [u8; N], next: *mut Addresses) -> *mut Addresses {
    // The family, the port, and what else belongs to an address of this family.
    let mut address = Box::new([0; 32]);
    address[..2].copy_from_slice(&family.to_ne_bytes());
    address[4..4 + N].copy_from_slice(&rest);
    Box::into_raw(Box::new(Addresses {
        flags: 0,
        family: family.into(),
        kind: 1,
        protocol: 6,
        length: 4 + N as u32,
        address: Box::into_raw(address).cast(),
        name: null_mut(),
        next,
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn getaddrinfo(
    _name: *const c_char,
    _service: *const c_char,
    _hints: *const Addresses,
    result: *mut *mut Addresses,
) -> c_int {
    let mut of_ipv6 = [0; 24];
    of_ipv6[19] = 1; // After 4 bytes of flow, 16 of the address ::1, then 4 of scope.
    let mut of_ipv4 = [0; 12];
    of_ipv4[..4].copy_from_slice(&[127, 0, 0, 1]);
    let ipv4 = found(IPV4, of_ipv4, null_mut());
    unsafe { *result = found(IPV6, of_ipv6, ipv4) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn freeaddrinfo(_addresses: *mut Addresses) {}
