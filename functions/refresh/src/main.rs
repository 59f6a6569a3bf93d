//! The Lambda function `refresh`.

use larder::environment::Environment;
use larder::lambda;
use refresh::Refresh;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::init_logging();
    let environment = Environment::from_env().await?;
    let function = &Refresh::new(&environment)?;
    lambda::serve_events(Refresh::TAKES, async |event| function.handle(event).await).await
}
