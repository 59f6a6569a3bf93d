//! Events of API Gateway, as the HTTP functions receive them.

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;

use super::assert_no_secret;
use super::test_bed::on_test_bed;

/// Takes an event of an HTTP API (payload format 2.0) as JSON, in which `ADMIN` and `ALICE` are placeholders for tokens.
pub fn events(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    on_test_bed(async |bed| {
        let filled = text.replace("ADMIN", &bed.world.admin).replace("ALICE", &bed.world.alice);
        let Ok(event) = serde_json::from_str::<ApiGatewayV2httpRequest>(&filled) else { return };
        let response = bed.answer(event).await;
        // Parameters are write-only, and only an admin and bob can read bob's credentials.
        if !text.contains("ADMIN") {
            assert_no_secret(&format!("{:?} {}", response.headers(), response.body()));
        }
    });
}
