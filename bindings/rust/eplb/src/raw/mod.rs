//! The only place that calls C: everything `unsafe` of this crate is here, but for the two types of device memory,
//! whose constructors say what their callers must keep.
#![allow(unsafe_code)]

mod api;
mod context;
mod handle;
mod privileges;
mod split;

pub(crate) use api::Api;
pub(crate) use context::{LayerOutputs, RawContext, WindowFigure};
pub(crate) use handle::RawInterrupter;
pub(crate) use privileges::is_privileged;

use std::ffi::{CStr, c_char};

use eplb_sys as sys;

use crate::{Error, Result};

/// Calls C with an error struct and turns what it says into a `Result`.
fn call(function: impl FnOnce(*mut sys::eplb_error) -> sys::eplb_status) -> Result<()> {
    let mut error = sys::eplb_error { code: 0, text: [0; 252] };
    match function(&raw mut error) {
        sys::EPLB_OK => Ok(()),
        code => Err(Error::new(code, text_of(&error.text))),
    }
}

/// What C wrote, up to its terminator.
fn text_of(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer.iter().map(|&byte| byte.cast_unsigned()).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// # Safety
///
/// `text` points to terminated text that lives for `'a`.
unsafe fn static_text<'a>(text: *const c_char) -> &'a str {
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().unwrap_or("not UTF-8")
}
