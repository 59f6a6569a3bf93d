//! `$extractDate` and `$extractTime`: the parts of a date in almost any format.

use serde_json::Value;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::FormulaCall;
use crate::connector::mapping::{date, js};

/// `YYYY-MM-DD`.
pub(super) fn extract_date(call: &FormulaCall<'_>) -> Option<Value> {
    formatted(call, format_description!("[year]-[month]-[day]"))
}

/// `HH:MM:SS`.
pub(super) fn extract_time(call: &FormulaCall<'_>) -> Option<Value> {
    formatted(call, format_description!("[hour]:[minute]:[second]"))
}

fn formatted(call: &FormulaCall<'_>, format: &[BorrowedFormatItem<'_>]) -> Option<Value> {
    let text = js::string(call.value().as_ref());
    let moment: PrimitiveDateTime = date::parse(&text)?;
    moment.format(format).ok().map(Value::from)
}
