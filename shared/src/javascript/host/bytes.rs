//! Bytes of a script.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rquickjs::function::This;
use rquickjs::{Ctx, Error, FromJs, Function, Object, Result, Value};

/// A copy of a `Uint8Array`, or what base64 text stands for. The array is read by way of its `toBase64`: the engine has no
/// other way that is both safe and fast.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'js> FromJs<'js> for Bytes {
    fn from_js(_: &Ctx<'js>, value: Value<'js>) -> Result<Self> {
        let text: String = match value.as_string() {
            Some(text) => text.to_string()?,
            None => {
                let array: Object<'js> = value.get()?;
                let to_base64: Function<'js> = array.get("toBase64")?;
                to_base64.call((This(array),))?
            }
        };
        STANDARD.decode(text).map(Self).map_err(|_| Error::new_from_js("object", "Uint8Array"))
    }
}
