//! What the system's allocator holds back. glibc gives busy threads heaps of their own, eight for each core, and returns
//! little of what a large request left in each: with as many as cores, a burst costs half as much memory for good.

/// To be called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the allocator has no other door; it is asked once, before there are threads")]
pub fn hold_back_little() {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    // SAFETY: mallopt takes two numbers, and no other thread is there to see them change.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, cores.clamp(2, 64) as libc::c_int) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn hold_back_little() {}
