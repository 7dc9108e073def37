//! Whether the program has more rights than its caller.

/// The kernel says so in the auxiliary vector, whose file in /proc such a program may be unable to read.
#[cfg(target_os = "linux")]
pub(crate) fn is_privileged() -> bool {
    use std::ffi::c_ulong;

    const AT_SECURE: c_ulong = 23;
    unsafe extern "C" {
        fn getauxval(kind: c_ulong) -> c_ulong;
    }
    // SAFETY: takes any number, and reads what does not change.
    unsafe { getauxval(AT_SECURE) != 0 }
}

/// There is no libeplb for other systems.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_privileged() -> bool {
    false
}
