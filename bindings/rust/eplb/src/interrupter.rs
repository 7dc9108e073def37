//! How a call that runs is ended.

use std::fmt;

use crate::raw::RawInterrupter;

/// Ends the call that a context is running, from any thread; [`Context::interrupter`](crate::Context::interrupter) makes
/// it. It does not keep the context: once that has been dropped, it does nothing.
#[derive(Clone)]
pub struct Interrupter {
    raw: RawInterrupter,
}

impl Interrupter {
    pub(crate) fn new(raw: RawInterrupter) -> Self {
        Self { raw }
    }

    /// Makes the call that the context is running now, if there is one, return
    /// [`Error::Interrupted`](crate::Error::Interrupted) within milliseconds. Outputs and the context are then as they
    /// were before it. The call succeeds all the same if all its work was done by then. Without a running call this does
    /// nothing, and the next call is not affected.
    ///
    /// This never waits for the call. A context that is dropped meanwhile is freed by this thread, so this is not for
    /// signal handlers.
    pub fn interrupt(&self) {
        self.raw.interrupt();
    }
}

impl fmt::Debug for Interrupter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interrupter").finish_non_exhaustive()
    }
}
