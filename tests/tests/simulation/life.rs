//! A life from its first second to its last: who invokes what and when, and what must be true then.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use larder::caller::{Claims, sign};
use larder::connection::{ConnectionKey, MIN_INTERVAL};
use larder::dynamodb::schema::{self, Tables};
use larder::dynamodb::{Integration, ParameterChanges};
use larder::error::Error;
use larder::secret::Secret;
use larder::secret_store::WorkspaceSecret;
use larder_engine::refresh::LEASE;
use refresh::{Event, EventResult};
use serde_json::{Value, json};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep};

use super::application::Applications;
use super::chance::Chance;
use super::cloud::{Cloud, Sent, application_of};
use super::instance::{Instance, WORKSPACE};
use super::network::{Network, Service};
use super::plan::Plan;
use super::sandbox::{Ended, Fate, Mishap, START, Sandbox};

/// Everything that lives.
pub(super) struct Life {
    plan: Plan,
    network: Arc<Network>,
    applications: Arc<Applications>,
    cloud: Arc<Cloud>,
    token: String,
    /// Those that wait for an invocation.
    idle: Mutex<Vec<Arc<Instance>>>,
    instances: AtomicUsize,
    generation: AtomicUsize,
    running: AtomicUsize,
    is_over: AtomicBool,
    /// How many refreshes began when one was due.
    refreshes: AtomicU64,
    /// How many moments the refresh had that the plan may interrupt.
    moments: AtomicU64,
    /// The grant of each application that was last acknowledged to its end user.
    acknowledged: Mutex<HashMap<usize, usize>>,
}

/// What is told of a life that is over.
pub(super) struct Told {
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) story: Vec<String>,
    pub(super) violations: Vec<String>,
    pub(super) moments: u64,
}

impl Life {
    /// The timeout of `refresh` and of the functions behind the API, as in the template.
    const REFRESH: Duration = Duration::from_secs(180);
    const CONNECTIONS: Duration = Duration::from_secs(150);
    const API: Duration = Duration::from_secs(30);
    /// The visibility timeout of the queues.
    const VISIBILITY: Duration = Duration::from_secs(200);
    /// A lease and the grace for the recovery queue, a sweep that just went by, the 90 seconds that it leaves to schedules,
    /// and the longest refresh.
    const SETTLING: Duration = LEASE.saturating_add(Duration::from_secs(30 + 90 + 60 + 90 + 60 + 60));

    pub(super) async fn of(plan: Plan) -> Told {
        let chance = Arc::new(Chance::new(plan.seed ^ 0x5eed));
        let network = Arc::new(Network::new(chance, plan.outages.clone(), plan.background));
        let applications = Arc::new(Applications::new(Arc::clone(&network), plan.applications.clone()));
        let (sender, sent) = unbounded_channel();
        let cloud = Arc::new(Cloud::new(Arc::clone(&applications), sender));
        let secret = Secret::new("the secret of the workspace, which is long enough");
        let claims = Claims {
            workspace_key: Some(WORKSPACE.into()),
            is_admin: true,
            exp: START + 365 * 24 * 3600,
            ..Claims::default()
        };
        let life = Arc::new(Self {
            token: sign(&claims, &secret).expect("a token"),
            plan,
            network,
            applications,
            cloud,
            idle: Mutex::default(),
            instances: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            refreshes: AtomicU64::new(0),
            moments: AtomicU64::new(0),
            acknowledged: Mutex::default(),
        });
        life.network.tell(|| format!("{:#?}", life.plan));
        life.live(&secret, sent).await;
        let moments = life.moments.load(Ordering::Relaxed);
        // They know the life that they belong to.
        life.idle.lock().expect("no panic holds it").clear();
        Told {
            counts: life.network.take_counts(),
            story: life.network.take_story(),
            violations: life.network.take_violations(),
            moments,
        }
    }

    async fn live(self: &Arc<Self>, secret: &Secret, sent: UnboundedReceiver<Sent>) {
        tokio::spawn(Arc::clone(self).deliver(sent));
        self.set_up(secret).await;
        self.network.set_quiet(false);
        tokio::spawn(Arc::clone(self).tick());
        for application in 0..self.applications.len() {
            tokio::spawn(Arc::clone(self).read(application));
            tokio::spawn(Arc::clone(self).ask(application));
        }
        if let Some((at, _)) = self.plan.deploys {
            let life = Arc::clone(self);
            tokio::spawn(async move {
                sleep(at).await;
                life.network.count("deployments");
                life.generation.fetch_add(1, Ordering::Relaxed);
            });
        }
        sleep(self.plan.trouble).await;
        self.network.tell(|| "the trouble is over".into());
        self.network.set_quiet(true);
        sleep(Self::SETTLING).await;
        self.is_over.store(true, Ordering::Relaxed);
        while self.running.load(Ordering::Relaxed) > 0 {
            sleep(Duration::from_secs(1)).await;
        }
        self.check_end().await;
    }

    async fn set_up(self: &Arc<Self>, secret: &Secret) {
        let instance = self.instance();
        let environment = instance.environment();
        schema::create(environment.dynamodb(), &Tables::default()).await.expect("tables");
        let stored = WorkspaceSecret { secret: secret.clone(), previous_secret: None };
        environment.workspaces().put(WORKSPACE, &stored).await.expect("a workspace");
        for application in 0..self.applications.len() {
            let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(START.unsigned_abs());
            let integration = Integration {
                workspace: WORKSPACE.into(),
                key: format!("application-{application}"),
                connector_key: "app".into(),
                name: None,
                oauth_callback_uri: None,
                redirect_uris: Vec::new(),
                parameters_version: String::new(),
                created_at: now,
                updated_at: now,
            };
            let parameters = json!({ "tokenUri": Applications::token_uri(application) });
            let changes = ParameterChanges { parameters: parameters.as_object().cloned(), options: None };
            instance.connector_setup().integrations.put(integration, changes).await.expect("an integration");
            let access_token = instance.connect(application, &id(application)).await.expect("a connection");
            self.acknowledge(application, &access_token);
        }
        self.put_back(instance);
    }

    fn acknowledge(&self, application: usize, access_token: &str) {
        let grant = self.applications.grant_of(access_token).expect("an access token that was issued");
        let mut acknowledged = self.acknowledged.lock().expect("no panic holds it");
        let newest = acknowledged.entry(application).or_insert(grant);
        *newest = grant.max(*newest);
    }

    /// An instance that is idle, or a new one.
    fn instance(self: &Arc<Self>) -> Arc<Instance> {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut idle = self.idle.lock().expect("no panic holds it");
        idle.retain(|instance| instance.generation == generation);
        if !idle.is_empty() && !self.network.chance.per_mille(50) {
            let last = u64::try_from(idle.len() - 1).expect("few");
            let number = self.network.chance.number(0..=last);
            return idle.swap_remove(usize::try_from(number).expect("few"));
        }
        let id = self.instances.fetch_add(1, Ordering::Relaxed);
        let skew = self.plan.skew;
        let ahead = self.network.chance.number(0..=(2 * skew).unsigned_abs()).cast_signed() - skew;
        let sandbox = Sandbox::new(id, ahead, Arc::clone(&self.network), Arc::clone(&self.applications));
        let mut deployment = self.plan.deployment.clone();
        if let Some((_, mode)) = self.plan.deploys.filter(|_| generation > 0) {
            deployment.mode = mode;
        }
        self.network.count("processes");
        let (cloud, life) = (&self.cloud, Arc::clone(self));
        Arc::new(Instance::new(sandbox, cloud, &self.applications, &deployment, generation, life))
    }

    fn put_back(&self, instance: Arc<Instance>) {
        if instance.sandbox.is_alive() {
            self.idle.lock().expect("no panic holds it").push(instance);
        }
    }

    /// What chance has for an invocation.
    fn fate(&self) -> Option<Fate> {
        const LAST_MOMENT: u64 = 30;
        if self.network.is_quiet() {
            return None;
        }
        let chance = &self.network.chance;
        let mishap = if chance.per_mille(self.plan.kills) {
            Mishap::Killed
        } else if chance.per_mille(self.plan.stalls) {
            Mishap::Stalled(chance.seconds(1..=170))
        } else {
            return None;
        };
        Some(Fate { at: chance.number(1..=LAST_MOMENT), mishap })
    }

    /// Runs something in an instance. `None` if it was killed.
    async fn invoke<T, F: Future<Output = T>>(
        self: &Arc<Self>,
        limit: Duration,
        fate: Option<Fate>,
        work: impl FnOnce(Arc<Instance>) -> F,
    ) -> Option<T> {
        let instance = self.instance();
        self.running.fetch_add(1, Ordering::Relaxed);
        self.network.count("invocations");
        let ended = instance.sandbox.run(limit, fate, work(Arc::clone(&instance))).await;
        self.running.fetch_sub(1, Ordering::Relaxed);
        match ended {
            Ended::Done(result) => {
                let has_recovery = self.plan.deployment.has_recovery;
                self.network.count("checked: what an application gave is saved or queued");
                self.applications.ended(instance.sandbox.id, |since| {
                    let table = self.network.was_out(Service::DynamoDb, since)
                        || self.network.was_out(Service::SecretsManager, since);
                    table && (!has_recovery || self.network.was_out(Service::Sqs, since))
                });
                self.put_back(instance);
                Some(result)
            }
            Ended::Killed => None,
        }
    }

    /// Invokes `refresh` with an event, as JSON.
    pub(super) async fn refresh(self: &Arc<Self>, event: Value) -> Option<Result<EventResult, Error>> {
        let is_it = self.is_due(0) && self.refreshes.fetch_add(1, Ordering::Relaxed) == self.plan.before_it;
        let fate = self.fate().or(self.plan.interruption.filter(|_| is_it));
        let answer = self.invoke(Self::REFRESH, fate, |instance| async move {
            let event: Event = serde_json::from_value(event).expect("an event");
            let answer = instance.refresh().handle(event).await;
            (answer, instance.sandbox.moments())
        });
        let (answer, moments) = answer.await?;
        if is_it {
            self.moments.store(moments, Ordering::Relaxed);
        }
        self.network.tell(|| format!("refresh answers {answer:?}"));
        Some(answer)
    }

    /// Whether any connection is due, by a clock that is so many milliseconds ahead.
    fn is_due(&self, ahead: i64) -> bool {
        let now = self.milliseconds() + ahead;
        self.cloud.rows().iter().any(|row| number(&row["next_refresh_at"]).is_some_and(|at| at <= now))
    }

    fn milliseconds(&self) -> i64 {
        START * 1000 + i64::try_from(self.network.now().as_millis()).expect("fits")
    }

    /// How far the clocks of two processes may be apart.
    fn clocks(&self) -> Duration {
        Duration::from_millis(2 * self.plan.skew.unsigned_abs())
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// The rule that fires every minute. A sweep that would find nothing is mostly left out.
    async fn tick(self: Arc<Self>) {
        let minute = Duration::from_mins(1);
        while self.goes_on() {
            let chance = &self.network.chance;
            sleep(minute.saturating_sub(Duration::from_secs(5)) + chance.seconds(0..=10)).await;
            self.check_futures();
            let is_lost = !self.network.is_quiet() && chance.per_mille(50);
            if !is_lost && (self.is_due(self.plan.skew) || chance.per_mille(20)) {
                self.network.count("sweeps");
                let event = json!({ "detail-type": "Scheduled Event", "source": "aws.events" });
                tokio::spawn(Arc::clone(&self).event(event));
            }
        }
    }

    /// An asynchronous invocation: tried again after one minute and after two more, now and then run twice.
    async fn event(self: Arc<Self>, event: Value) {
        const TWICE: u64 = 20;
        if !self.network.is_quiet() && self.network.chance.per_mille(TWICE) {
            self.network.count("events run twice");
            let (life, event) = (Arc::clone(&self), event.clone());
            tokio::spawn(async move { life.refresh(event).await });
        }
        for pause in [0, 60, 120] {
            sleep(Duration::from_secs(pause)).await;
            if !self.goes_on() || matches!(self.refresh(event.clone()).await, Some(Ok(_))) {
                return;
            }
        }
        self.network.count("events given up");
    }

    /// Schedules and queues.
    async fn deliver(self: Arc<Self>, mut sent: UnboundedReceiver<Sent>) {
        let mut seen = HashMap::<String, Instant>::new();
        let mut messages = 0;
        while let Some(sent) = sent.recv().await {
            messages += 1;
            match sent {
                Sent::Schedule(name) => drop(tokio::spawn(Arc::clone(&self).schedule(name))),
                Sent::Recovery(body) => drop(tokio::spawn(Arc::clone(&self).message(messages, body))),
                Sent::Refresh(body, deduplication_id) => {
                    const REMEMBERED: Duration = Duration::from_mins(5);
                    let last = seen.get(&deduplication_id);
                    if last.is_none_or(|last| last.elapsed() > REMEMBERED) {
                        seen.insert(deduplication_id, Instant::now());
                        tokio::spawn(Arc::clone(&self).message(messages, body));
                    }
                }
            }
        }
    }

    /// A one-time schedule: fires within a minute of its time, seldom earlier, twice, or not at all.
    async fn schedule(self: Arc<Self>, name: String) {
        let Some(expression) = self.cloud.schedule_expression(&name) else { return };
        let format = format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])");
        let at = PrimitiveDateTime::parse(&expression, format).expect("an expression").assume_utc();
        let at = Duration::from_secs(u64::try_from(at.unix_timestamp() - START).unwrap_or_default());
        let chance = &self.network.chance;
        let late = chance.seconds(0..=59);
        sleep((at + late).saturating_sub(self.network.now())).await;
        let is_quiet = self.network.is_quiet();
        if !is_quiet && chance.per_mille(50) {
            self.network.count("schedules late");
            sleep(chance.seconds(60..=1200)).await;
        }
        let Some(input) = self.cloud.fire(&name) else { return };
        if !is_quiet && chance.per_mille(50) {
            return self.network.count("schedules lost");
        }
        let event: Value = serde_json::from_str(&input).expect("JSON");
        if !is_quiet && chance.per_mille(50) {
            self.network.count("schedules fired twice");
            tokio::spawn(Arc::clone(&self).event(event.clone()));
        }
        self.network.count("schedules fired");
        self.event(event).await;
    }

    /// A message of a queue, until it is handled.
    async fn message(self: Arc<Self>, number: usize, body: String) {
        const RECEIVES: usize = 240;
        let name = format!("message-{number}");
        let connection = serde_json::from_str::<Value>(&body).expect("JSON")["connectionId"].take();
        let application = application_of(connection.as_str().expect("an id"));
        sleep(self.network.chance.milliseconds(50..=2000)).await;
        for _ in 0..RECEIVES {
            if !self.goes_on() {
                return;
            }
            let record = json!({ "messageId": name, "receiptHandle": name, "body": body });
            let answer = self.refresh(json!({ "Records": [record] })).await;
            let again = self.cloud.take_visibility(&name);
            match answer {
                Some(Ok(EventResult::Queue { failures })) if failures.is_empty() => {
                    if self.network.is_quiet() || !self.network.chance.per_mille(30) {
                        return;
                    }
                    self.network.count("messages delivered twice");
                    sleep(self.network.chance.seconds(0..=300)).await;
                }
                _ => {
                    if again.is_none() {
                        self.applications.delayed(application);
                    }
                    sleep(again.unwrap_or(Self::VISIBILITY)).await;
                }
            }
        }
    }

    /// Whoever wants the credentials of a connection.
    async fn read(self: Arc<Self>, application: usize) {
        // The clock by which a token dies is that of the process that asked for it.
        let clocks = self.clocks();
        while self.goes_on() {
            sleep(self.network.chance.seconds(1..=2 * self.plan.readers)).await;
            let begun = Instant::now();
            let (token, connection) = (self.token.clone(), id(application));
            let fate = self.fate();
            let answer =
                self.invoke(Self::API, fate, |instance| async move { instance.get(&connection, &token).await });
            let Some(response) = answer.await else { continue };
            self.network.count(format!("read: {}", response.status().as_u16()));
            self.network
                .check("no read fails without a reason", !is_fault(response.status()), || response.body().clone());
            if response.status() == StatusCode::OK {
                let body: Value = serde_json::from_str(response.body()).expect("JSON");
                let access_token = body["credentials"]["access_token"].as_str().expect("an access token");
                self.applications.served(application, access_token, clocks + begun.elapsed());
            }
            self.check_read(application, response.status(), begun.elapsed());
        }
    }

    /// While nothing goes wrong, readers get a token: by a refresh at once if there is none. There may be none in the moment
    /// in which a token ends that its application hands out until then, nor if tokens live for less than the minute between
    /// two refreshes.
    fn check_read(&self, application: usize, status: StatusCode, took: Duration) {
        let it = self.applications.get(application);
        let since = self.network.now().saturating_sub(took);
        let is_served = status == StatusCode::OK;
        let has_just_ended = || it.gives_rest && self.applications.has_just_ended(application, since);
        if !is_served && has_just_ended() {
            self.network.count("read: none at the end of a token that was handed out until then");
        }
        let goes_well = self.plan.is_calm() && it.is_reliable() && it.tolerates_second_tries();
        if goes_well && it.life > MIN_INTERVAL && self.plan.skew == 0 {
            self.network.check("while nothing goes wrong, readers get a token", is_served || has_just_ended(), || {
                format!("application {application}, a read that began at {since:?}: {status}")
            });
        }
    }

    /// Whoever refreshes by hand, or connects again.
    async fn ask(self: Arc<Self>, application: usize) {
        const BY_HAND: u64 = 600;
        while self.goes_on() {
            sleep(self.network.chance.seconds(30..=(4 * self.plan.readers).max(30))).await;
            let (token, connection) = (self.token.clone(), id(application));
            let fate = self.fate();
            if self.plan.interruption.is_some() || self.plan.kills + self.plan.stalls + self.plan.background == 0 {
                continue;
            }
            if self.network.chance.per_mille(BY_HAND) {
                let refreshed = self.invoke(Self::CONNECTIONS, fate, |instance| async move {
                    instance.refresh_now(&connection, &token).await
                });
                if let Some(response) = refreshed.await {
                    self.network.count(format!("refresh by hand: {}", response.status().as_u16()));
                }
            } else {
                let connected =
                    self.invoke(
                        Self::API,
                        fate,
                        |instance| async move { instance.connect(application, &connection).await },
                    );
                if let Some(Ok(access_token)) = connected.await {
                    self.network.count("connected again");
                    self.network.tell(|| format!("connection {application} is connected again: {access_token}"));
                    self.acknowledge(application, &access_token);
                }
            }
        }
    }

    /// Every connection is due some time, or in somebody's hands, or waits for its end user.
    fn check_futures(&self) {
        let now = self.milliseconds();
        for row in self.cloud.rows().iter() {
            let is_due = number(&row["next_refresh_at"]).is_some();
            let is_leased = number(&row["lease_until"]).is_some_and(|until| until > now);
            let is_final = row["state"] == "CLIENT_ACTION_REQUIRED" && row["problem"].is_string();
            let holds = is_due || is_leased || is_final;
            self.network.check("every connection has a future", holds, || row.to_string());
            let application = application_of(row["id"].as_str().expect("an id"));
            let it = self.applications.get(application);
            if it.loses > 0 && self.plan.is_calm() && it.is_reliable() && it.tolerates_second_tries() {
                let is_ready = row["state"] == "READY";
                self.network.check("an answer that is lost once ends no connection", is_ready, || row.to_string());
            }
        }
    }

    /// What must be true after all trouble is over and everybody had the time to see to it.
    async fn check_end(self: &Arc<Self>) {
        self.check_futures();
        self.applications.check_spacing(self.clocks());
        let instance = self.instance();
        let now = self.milliseconds();
        for row in self.cloud.rows().iter() {
            let name = row["id"].as_str().and_then(|id| id.split_once('#')).expect("an id").1.to_owned();
            let application = application_of(&name);
            let is_flagged = row["problem"].is_string();
            if row["state"] == "CLIENT_ACTION_REQUIRED" {
                self.network.count("connections that wait for their end user in the end");
            }
            let overdue = number(&row["next_refresh_at"]).is_some_and(|at| at + 300_000 < now);
            self.network.check("nothing is forgotten", !overdue, || row.to_string());
            let connection = instance.environment().connections().get(&ConnectionKey::new(WORKSPACE, &name)).await;
            let connection = connection.expect("a table").expect("a connection");
            let contents = instance.environment().vault().expect("settings").open(&connection).await.expect("opens");
            let credentials = contents.credentials.expect("credentials").to_value();
            let access_token = credentials["access_token"].as_str().expect("an access token").to_owned();
            let is_newest = self.applications.is_newest(&access_token);
            self.network.check("the newest tokens are stored, or it is said why not", is_newest || is_flagged, || {
                format!("{access_token}; {row}")
            });
            let grant = self.applications.grant_of(&access_token);
            let acknowledged = self.acknowledged.lock().expect("no panic holds it")[&application];
            self.network.check("no connect that was acknowledged is lost", grant >= Some(acknowledged), || {
                format!("{access_token} is stored, grant {acknowledged} was acknowledged")
            });
        }
    }
}

/// A status that means a fault in Larder itself.
fn is_fault(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE
}

fn id(application: usize) -> String {
    format!("connection_{application}")
}

/// A number as DynamoDB writes it.
fn number(value: &Value) -> Option<i64> {
    value.as_str()?.parse().ok()
}
