//! Who has a context of the library: one `RawContext`, and any number of threads that may end its calls.

use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use eplb_sys as sys;

use super::Api;

/// A context of the library, destroyed when nobody has it any more.
pub(super) struct Handle {
    pub(super) context: NonNull<sys::eplb_context>,
    // Dropped last: the library stays loaded until its context is destroyed.
    pub(super) api: Arc<Api>,
}

// SAFETY: eplb.h, THREADS: "A context may move between threads". It keeps nothing that belongs to one.
unsafe impl Send for Handle {}
// SAFETY: all that is shared between threads is RawInterrupter, whose one call may be made during any other; RawContext
// is not Sync.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the context came from eplb_context_create, is destroyed once, and &mut says that nobody else uses it.
        unsafe { self.api.functions.eplb_context_destroy(self.context.as_ptr()) }
    }
}

/// Ends the call that runs in a context, as long as that lives.
#[derive(Clone)]
pub(crate) struct RawInterrupter(Weak<Handle>);

impl RawInterrupter {
    pub(super) fn of(handle: &Arc<Handle>) -> Self {
        Self(Arc::downgrade(handle))
    }

    /// Having the handle, not a lock, keeps the context from being destroyed meanwhile: a lock that some thread has during
    /// fork stays locked in the child.
    pub(crate) fn interrupt(&self) {
        if let Some(handle) = self.0.upgrade() {
            // SAFETY: may be called while another call runs, and the handle is valid as long as we have it.
            unsafe { handle.api.functions.eplb_context_interrupt(handle.context.as_ptr()) }
        }
    }
}
