//! Job objects: what Windows has for a process and all that it starts.

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::Child;
use std::{io, mem, ptr};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject, TerminateJobObject,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

/// The exit status of what was killed.
const KILLED: u32 = 1;

/// Processes that end together: when they are told to, when this value is dropped, and
/// when this process ends in any way, since the system then closes its handle.
pub struct Job(OwnedHandle);

impl Job {
    pub fn new() -> io::Result<Job> {
        // SAFETY: both arguments may be null; the handle is ours if it is not null.
        let job = unsafe {
            let handle = CreateJobObjectW(ptr::null(), ptr::null());
            if handle.is_null() {
                return Err(io::Error::last_os_error());
            }
            Job(OwnedHandle::from_raw_handle(handle))
        };
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        // SAFETY: the pointer and the size are those of the structure that this class of
        // information has.
        succeeded(unsafe {
            SetInformationJobObject(
                job.handle(),
                JobObjectExtendedLimitInformation,
                ptr::from_ref(&limits).cast(),
                mem::size_of_val(&limits) as u32,
            )
        })?;
        Ok(job)
    }

    /// From now on the process belongs to it, and what it starts.
    pub fn add(&self, child: &Child) -> io::Result<()> {
        // SAFETY: both handles are open.
        succeeded(unsafe {
            AssignProcessToJobObject(self.handle(), child.as_raw_handle())
        })
    }

    /// The same for this process itself.
    pub fn add_this_process(&self) -> io::Result<()> {
        // SAFETY: the handle is open; that of the current process need not be closed.
        succeeded(unsafe {
            AssignProcessToJobObject(self.handle(), GetCurrentProcess())
        })
    }

    /// Ends all of its processes at once.
    pub fn kill(&self) {
        // What has ended already needs no end. SAFETY: the handle is open.
        unsafe { TerminateJobObject(self.handle(), KILLED) };
    }

    fn handle(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}

fn succeeded(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
