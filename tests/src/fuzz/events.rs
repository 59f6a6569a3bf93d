//! Events of API Gateway, as all HTTP functions get them.

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;

use super::assert_untold;
use super::stand::on_stand;

/// An event of an HTTP API (payload 2.0) as JSON, in which `ADMIN` and `ALICE` stand for tokens.
pub fn events(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    on_stand(async |stand| {
        let filled = text.replace("ADMIN", &stand.world.admin).replace("ALICE", &stand.world.alice);
        let Ok(event) = serde_json::from_str::<ApiGatewayV2httpRequest>(&filled) else { return };
        let response = stand.answer(event).await;
        // Parameters are write-only, and only an admin and bob may read what is bob's.
        if !text.contains("ADMIN") {
            assert_untold(&format!("{:?} {}", response.headers(), response.body()));
        }
    });
}
