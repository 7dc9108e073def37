//! Which Rust types the library reads and writes.

use eplb_sys as sys;

mod sealed {
    /// A type that C knows by a constant.
    pub trait Element: Copy + Send + Sync + 'static {
        const DTYPE: super::sys::eplb_dtype;
    }
}

pub(crate) use sealed::Element;

/// Types of weights: `f32`, `f64`, `i32`, `i64`.
pub trait WeightElement: Element {}

/// Types of fetched maps: `i32` and `i64` for int maps, `f64` for the others.
pub trait MapElement: Element {}

/// Types of expert numbers: `i32`, `i64`.
pub trait ExpertElement: MapElement {}

macro_rules! element {
    ($type:ty = $dtype:ident: $($family:ident),*) => {
        impl Element for $type {
            const DTYPE: sys::eplb_dtype = sys::$dtype;
        }
        $(impl $family for $type {})*
    };
}

element!(f32 = EPLB_FLOAT32: WeightElement);
element!(f64 = EPLB_FLOAT64: WeightElement, MapElement);
element!(i32 = EPLB_INT32: WeightElement, MapElement, ExpertElement);
element!(i64 = EPLB_INT64: WeightElement, MapElement, ExpertElement);
