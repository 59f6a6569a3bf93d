//! Strings and bytes that a script passes to native code. There they do not count toward the engine's memory, so each
//! has its own limit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rquickjs::function::This;
use rquickjs::{Array, Ctx, Error, Exception, FromJs, Function, Object, Result, Value};

use crate::javascript::limits::NATIVE_BYTES;

/// A copy of a string of at most `MAX` bytes.
pub(super) struct Text<const MAX: usize = NATIVE_BYTES>(pub(super) String);

impl<'js, const MAX: usize> FromJs<'js> for Text<MAX> {
    fn from_js(ctx: &Ctx<'js>, value: Value<'js>) -> Result<Self> {
        let text = String::from_js(ctx, value)?;
        if text.len() > MAX { Err(too_long(ctx, MAX)) } else { Ok(Self(text)) }
    }
}

/// A copy of a `Uint8Array`, or decoded base64, of at most `MAX` bytes. The array is read through its `toBase64`: the
/// engine has no other way that is both safe and fast.
pub(super) struct Bytes<const MAX: usize = NATIVE_BYTES>(pub(super) Vec<u8>);

impl<'js, const MAX: usize> FromJs<'js> for Bytes<MAX> {
    fn from_js(ctx: &Ctx<'js>, value: Value<'js>) -> Result<Self> {
        let text: String = match value.as_string() {
            Some(text) => text.to_string()?,
            None => {
                let array: Object<'js> = value.get()?;
                if array.get::<_, usize>("byteLength")? > MAX {
                    return Err(too_long(ctx, MAX));
                }
                let to_base64: Function<'js> = array.get("toBase64")?;
                to_base64.call((This(array),))?
            }
        };
        if text.len() > MAX.div_ceil(3) * 4 {
            return Err(too_long(ctx, MAX));
        }
        STANDARD.decode(text).map(Self).map_err(|_| Error::new_from_js("object", "Uint8Array"))
    }
}

/// Reads `[[name, value]]` pair by pair, up to `max` bytes. All pairs may share one long string, which would be copied
/// for each of them.
pub(super) fn each_pair<'js>(
    ctx: &Ctx<'js>,
    pairs: Array<'js>,
    max: usize,
    mut take: impl FnMut(String, String) -> Result<()>,
) -> Result<()> {
    let mut bytes = 0;
    for pair in pairs.iter::<Array<'js>>() {
        let pair = pair?;
        let (name, value): (String, String) = (pair.get(0)?, pair.get(1)?);
        bytes += name.len() + value.len();
        if bytes > max {
            return Err(too_long(ctx, max));
        }
        take(name, value)?;
    }
    Ok(())
}

fn too_long(ctx: &Ctx<'_>, max: usize) -> Error {
    Exception::throw_range(ctx, &format!("more than {max} bytes at once"))
}
