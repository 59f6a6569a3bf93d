//! The Lambda function `refresh`.

use lambda_runtime::{LambdaEvent, service_fn};
use larder::environment::Environment;
use larder::lambda;
use refresh::{Event, Refresh};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::init_logging();
    let environment = Environment::from_env().await?;
    let function = &Refresh::new(&environment)?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        function.handle(event.payload).await.map_err(lambda_runtime::Error::from)
    }))
    .await
}
