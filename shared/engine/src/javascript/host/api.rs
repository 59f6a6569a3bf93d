//! `apiClient`: requests that the function's caller sends.

use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larder::values::has_too_many_values;
use rquickjs::function::Opt;
use rquickjs::{Array, ArrayBuffer, Ctx, Exception, Result};
use serde_json::{Map, Value};

use super::bytes::Bytes;
use super::{Functions, MakeValue, OperationError};
use crate::javascript::JavaScriptError;
use crate::javascript::limits::REQUEST_VALUES;

/// Adds `openApi(config)`, which returns an id, and `apiRequest(id, request, body?: Uint8Array)`, which returns a
/// promise of `[text, body?]`, where `text` is JSON, `{ok}` or `{error}`. `config` and `request` are also JSON strings.
pub(super) fn add<'js>(functions: &Functions<'_, 'js>) -> Result<()> {
    let host = Rc::clone(functions.host);
    functions.add("openApi", move |ctx: Ctx<'js>, config: String| {
        let opened = match (&host.open, serde_json::from_str(&config)) {
            (Some(open), Ok(config)) => open.open(config),
            (None, _) => Err("this function has none".to_owned()),
            (_, Err(error)) => Err(error.to_string()),
        };
        let api = opened.map_err(|message| host.stop(&ctx, JavaScriptError::Client { message }))?;
        let mut clients = host.clients.borrow_mut();
        clients.push(api);
        Ok::<_, rquickjs::Error>(clients.len() - 1)
    })?;
    let host = Rc::clone(functions.host);
    functions.add("apiRequest", move |ctx: Ctx<'js>, client: usize, request: String, body: Opt<Option<Bytes>>| {
        let limits = host.settings.limits;
        let body = body.0.flatten().map(|bytes| bytes.0);
        let bytes = request.len() + body.as_ref().map_or(0, Vec::len);
        if bytes > limits.request_bytes {
            return Err(host.stop_at(&ctx, format!("a request body of more than {} bytes", limits.request_bytes)));
        }
        if has_too_many_values(request.as_bytes(), REQUEST_VALUES) {
            return Err(host.stop_at(&ctx, format!("a request of more than {REQUEST_VALUES} values")));
        }
        let api = host.clients.borrow().get(client).map(Arc::clone);
        let api = api.ok_or_else(|| Exception::throw_type(&ctx, "there is no such client"))?;
        let waiting = host.traffic.begin(bytes).map_err(|error| host.stop(&ctx, error))?;
        let mut request: Map<String, Value> =
            serde_json::from_str(&request).map_err(|error| Exception::throw_type(&ctx, &error.to_string()))?;
        if let Some(body) = body {
            request.insert("dataBase64".to_owned(), STANDARD.encode(body).into());
        }
        let remaining = host.remaining();
        let (_, promise) = host.start(&ctx, async move {
            let traffic = waiting.traffic();
            let _turn = traffic.turn().await?;
            let outcome = tokio::time::timeout(remaining, api.request(Value::Object(request))).await;
            let mut bytes = None;
            let text = match outcome {
                Ok(Ok(mut response)) => {
                    let encoded = response.as_object_mut().and_then(|response| response.shift_remove("dataBase64"));
                    bytes = encoded.and_then(|encoded| STANDARD.decode(encoded.as_str()?).ok());
                    // `json!` would copy the response.
                    format!(r#"{{"ok":{response}}}"#)
                }
                Ok(Err(error)) => format!(r#"{{"error":{error}}}"#),
                Err(_) => return Err(OperationError::Rejected("the function ran out of time".to_owned())),
            };
            traffic.count_response(text.len() + bytes.as_ref().map_or(0, Vec::len))?;
            Ok(make_value(text, bytes))
        })?;
        Ok(promise)
    })
}

fn make_value(text: String, bytes: Option<Vec<u8>>) -> MakeValue {
    Box::new(move |ctx: &Ctx<'_>| -> Result<rquickjs::Value<'_>> {
        let answer = Array::new(ctx.clone())?;
        answer.set(0, text)?;
        if let Some(bytes) = bytes {
            answer.set(1, ArrayBuffer::new_copy(ctx.clone(), bytes)?)?;
        }
        Ok(answer.into_value())
    })
}
