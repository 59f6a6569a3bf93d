//! A simulated run from start to end: who invokes which function when, and what must hold then.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use larder::caller::{Claims, sign};
use larder::clock::Clock as _;
use larder::connection::{Confirmation, ConnectionKey, MIN_INTERVAL};
use larder::dynamodb::schema::{self, Tables};
use larder::dynamodb::{Integration, ParameterChanges};
use larder::error::{Error, ErrorClass};
use larder::secret::Secret;
use larder::secret_store::WorkspaceSecret;
use larder_engine::refresh::LEASE;
use refresh::{Event, EventResult};
use serde_json::{Value, json};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::cloud::{Cloud, Sent, is_unconfirmed, provider_of};
use super::instance::{Instance, WORKSPACE, request};
use super::network::{Network, Service};
use super::plan::Plan;
use super::provider::SimulatedProviders;
use super::sandbox::{Ended, Interruption, InterruptionKind, START, Sandbox};

/// A run with all its parts.
pub(super) struct SimulatedRun {
    plan: Plan,
    network: Arc<Network>,
    providers: Arc<SimulatedProviders>,
    cloud: Arc<Cloud>,
    token: String,
    /// Instances waiting for an invocation.
    idle: Mutex<Vec<Arc<Instance>>>,
    instances: AtomicUsize,
    generation: AtomicUsize,
    running: AtomicUsize,
    is_over: AtomicBool,
    /// The number of refreshes that began while one was due.
    refreshes: AtomicU64,
    /// The number of points at which the plan could have interrupted its refresh.
    interruption_points: AtomicU64,
    /// The last grant of each provider that was acknowledged to the end user.
    acknowledged: Mutex<HashMap<usize, usize>>,
    /// The grants whose tokens wait for a confirmation, or never got it.
    unconfirmed: Mutex<HashSet<usize>>,
    /// The attributes of the first connection that a person has set, and those removed by deleting it.
    edited: Mutex<BTreeMap<&'static str, Option<&'static str>>>,
}

/// A person's edit while a connection is being refreshed. Each begins with a new name and new tags.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edit {
    /// Nothing else.
    Patch,
    /// Marks the connection as used by a flow. Then it cannot be deleted.
    MarkFlow,
    /// Deletes the connection, restores it, and connects again.
    Restore,
    /// Deletes the connection, and connects again.
    Revive,
    /// Reconnects with a confirmation.
    Confirm,
    /// Reconnects with a confirmation that never comes.
    Forget,
}

impl Edit {
    pub(super) const ALL: [Self; 6] =
        [Self::Patch, Self::MarkFlow, Self::Restore, Self::Revive, Self::Confirm, Self::Forget];
}

/// The result of a finished run.
pub(super) struct RunResult {
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) log: Vec<String>,
    pub(super) violations: Vec<String>,
    pub(super) interruption_points: u64,
}

impl SimulatedRun {
    /// The timeouts of `refresh`, `connections` and the other API functions, as in the template.
    const REFRESH: Duration = Duration::from_secs(180);
    const CONNECTIONS: Duration = Duration::from_secs(150);
    const API: Duration = Duration::from_secs(30);
    /// The visibility timeout of the queues.
    const VISIBILITY: Duration = Duration::from_secs(200);
    /// The time to recover after all trouble: a lease, the grace for the recovery queue, a sweep that was just missed, the 90
    /// seconds that sweeps leave to schedules, and the longest refresh.
    const SETTLING: Duration = LEASE.saturating_add(Duration::from_secs(30 + 90 + 60 + 90 + 60 + 60));

    /// Carries out a plan.
    pub(super) async fn execute(plan: Plan) -> RunResult {
        let chance = Arc::new(Chance::new(plan.seed ^ 0x5eed));
        let network = Arc::new(Network::new(chance, plan.outages.clone(), plan.background));
        let providers = Arc::new(SimulatedProviders::new(Arc::clone(&network), plan.providers.clone()));
        let (sender, sent) = unbounded_channel();
        let cloud = Arc::new(Cloud::new(Arc::clone(&providers), sender));
        let secret = Secret::new("the secret of the workspace, which is long enough");
        let claims = Claims {
            workspace_key: Some(WORKSPACE.into()),
            is_admin: true,
            exp: Some(START + 365 * 24 * 3600),
            ..Claims::default()
        };
        let run = Arc::new(Self {
            token: sign(&claims, &secret).expect("a token"),
            plan,
            network,
            providers,
            cloud,
            idle: Mutex::default(),
            instances: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            refreshes: AtomicU64::new(0),
            interruption_points: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            unconfirmed: Mutex::default(),
            edited: Mutex::default(),
        });
        run.network.log(|| format!("{:#?}", run.plan));
        run.play(&secret, sent).await;
        let interruption_points = run.interruption_points.load(Ordering::Relaxed);
        // The instances hold references to this run.
        run.idle.lock().expect("the lock is not poisoned").clear();
        RunResult {
            counts: run.network.take_counts(),
            log: run.network.take_log(),
            violations: run.network.take_violations(),
            interruption_points,
        }
    }

    async fn play(self: &Arc<Self>, secret: &Secret, sent: UnboundedReceiver<Sent>) {
        tokio::spawn(Arc::clone(self).deliver(sent));
        self.set_up(secret).await;
        self.network.set_quiet(false);
        tokio::spawn(Arc::clone(self).sweep_every_minute());
        for provider in 0..self.providers.len() {
            tokio::spawn(Arc::clone(self).read_credentials(provider));
            tokio::spawn(Arc::clone(self).refresh_and_reconnect(provider));
        }
        if let Some((at, _)) = self.plan.redeployment {
            let run = Arc::clone(self);
            tokio::spawn(async move {
                sleep(at).await;
                run.network.count("deployments");
                run.generation.fetch_add(1, Ordering::Relaxed);
            });
        }
        sleep(self.plan.trouble).await;
        self.network.log(|| "the trouble is over".into());
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
        let stored = WorkspaceSecret::new(secret.clone());
        environment.workspaces().put(WORKSPACE, &stored).await.expect("a workspace");
        for provider in 0..self.providers.len() {
            let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(START.unsigned_abs());
            let integration = Integration {
                connector_key: "app".into(),
                ..Integration::new(WORKSPACE, format!("provider-{provider}"), now)
            };
            let parameters = json!({ "tokenUri": SimulatedProviders::token_uri(provider) });
            let changes = ParameterChanges { parameters: parameters.as_object().cloned(), options: None };
            instance.connector_setup().integrations.put(integration, changes).await.expect("an integration");
            let access_token = instance.connect(provider, &id(provider), None).await.expect("a connection");
            self.acknowledge(provider, &access_token);
        }
        self.put_back(instance);
    }

    fn acknowledge(&self, provider: usize, access_token: &str) {
        let grant = self.providers.grant_of(access_token).expect("an issued access token");
        let mut acknowledged = self.acknowledged.lock().expect("the lock is not poisoned");
        let newest = acknowledged.entry(provider).or_insert(grant);
        *newest = grant.max(*newest);
    }

    /// Takes an idle instance or creates a new one.
    fn instance(self: &Arc<Self>) -> Arc<Instance> {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut idle = self.idle.lock().expect("the lock is not poisoned");
        idle.retain(|instance| instance.generation == generation);
        if !idle.is_empty() && !self.network.chance.per_mille(50) {
            let last = u64::try_from(idle.len() - 1).expect("few");
            let number = self.network.chance.number(0..=last);
            return idle.swap_remove(usize::try_from(number).expect("few"));
        }
        let id = self.instances.fetch_add(1, Ordering::Relaxed);
        let skew = self.plan.skew;
        let ahead = self.network.chance.number(0..=(2 * skew).unsigned_abs()).cast_signed() - skew;
        let sandbox = Sandbox::new(id, ahead, Arc::clone(&self.network), Arc::clone(&self.providers));
        let mut deployment = self.plan.deployment.clone();
        if let Some((_, mode)) = self.plan.redeployment.filter(|_| generation > 0) {
            deployment.mode = mode;
        }
        self.network.count("processes");
        let (cloud, run) = (&self.cloud, Arc::clone(self));
        Arc::new(Instance::new(sandbox, cloud, &self.providers, &deployment, generation, run))
    }

    fn put_back(&self, instance: Arc<Instance>) {
        if instance.sandbox.is_alive() {
            self.idle.lock().expect("the lock is not poisoned").push(instance);
        }
    }

    /// Draws an interruption for some invocations.
    fn draw_interruption(&self) -> Option<Interruption> {
        const LAST_POINT: u64 = 30;
        if self.network.is_quiet() {
            return None;
        }
        let chance = &self.network.chance;
        let kind = if chance.per_mille(self.plan.kills) {
            InterruptionKind::Killed
        } else if chance.per_mille(self.plan.stalls) {
            InterruptionKind::Stalled(chance.seconds(1..=170))
        } else {
            return None;
        };
        Some(Interruption { at: chance.number(1..=LAST_POINT), kind })
    }

    /// Runs an invocation in an instance. `None` if it was killed.
    async fn invoke<T, F: Future<Output = T>>(
        self: &Arc<Self>,
        limit: Duration,
        interruption: Option<Interruption>,
        work: impl FnOnce(Arc<Instance>) -> F,
    ) -> Option<T> {
        let instance = self.instance();
        self.running.fetch_add(1, Ordering::Relaxed);
        self.network.count("invocations");
        let ended = instance.sandbox.run(limit, interruption, work(Arc::clone(&instance))).await;
        self.running.fetch_sub(1, Ordering::Relaxed);
        match ended {
            Ended::Done(result) => {
                let has_recovery = self.plan.deployment.has_recovery;
                self.network.count("checked: every answer is saved or queued");
                self.providers.ended(instance.sandbox.id, |since| {
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

    /// Invokes `refresh` with a JSON event.
    pub(super) async fn refresh(self: &Arc<Self>, event: Value) -> Option<Result<EventResult, Error>> {
        let is_the_one = self.is_due(0) && self.refreshes.fetch_add(1, Ordering::Relaxed) == self.plan.refreshes_before;
        let interruption = self.draw_interruption().or(self.plan.interruption.filter(|_| is_the_one));
        let (run, edit) = (Arc::clone(self), self.plan.edit.filter(|_| is_the_one));
        let answer = self.invoke(Self::REFRESH, interruption, |instance| async move {
            if let Some((at, edit)) = edit {
                // A call that takes too long is given up, but not the edit.
                let editing = async move { tokio::spawn(run.edit(edit)).await.expect("the edit ends") };
                instance.sandbox.meanwhile(at, Box::pin(editing));
            }
            let event: Event = serde_json::from_value(event).expect("an event");
            let answer = instance.refresh().handle(event).await;
            (answer, instance.sandbox.interruption_points())
        });
        let (answer, interruption_points) = answer.await?;
        if is_the_one {
            self.interruption_points.store(interruption_points, Ordering::Relaxed);
        }
        self.network.log(|| format!("refresh answers {answer:?}"));
        Some(answer)
    }

    /// Whether any connection is due by a clock that is `ahead` milliseconds fast.
    fn is_due(&self, ahead: i64) -> bool {
        let now = self.milliseconds() + ahead;
        let is_due = |item: &Value| number(&item["next_refresh_at"]).is_some_and(|at| at <= now);
        self.cloud.rows().iter().any(is_due) || self.cloud.unconfirmed().iter().any(is_due)
    }

    fn milliseconds(&self) -> i64 {
        START * 1000 + i64::try_from(self.network.now().as_millis()).expect("fits")
    }

    /// How far the clocks of two processes may differ.
    fn max_skew(&self) -> Duration {
        Duration::from_millis(2 * self.plan.skew.unsigned_abs())
    }

    fn continues(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Runs the rule that sweeps every minute. Most sweeps that would find nothing are skipped.
    async fn sweep_every_minute(self: Arc<Self>) {
        let minute = Duration::from_mins(1);
        while self.continues() {
            let chance = &self.network.chance;
            sleep(minute.saturating_sub(Duration::from_secs(5)) + chance.seconds(0..=10)).await;
            self.check_connections();
            let is_lost = !self.network.is_quiet() && chance.per_mille(50);
            if !is_lost && (self.is_due(self.plan.skew) || chance.per_mille(20)) {
                self.network.count("sweeps");
                let event = json!({ "detail-type": "Scheduled Event", "source": "aws.events" });
                tokio::spawn(Arc::clone(&self).invoke_async(event));
            }
        }
    }

    /// Invokes `refresh` asynchronously: retries after one minute and two more minutes, and sometimes runs it twice.
    async fn invoke_async(self: Arc<Self>, event: Value) {
        const TWICE: u64 = 20;
        if !self.network.is_quiet() && self.network.chance.per_mille(TWICE) {
            self.network.count("events run twice");
            let (run, event) = (Arc::clone(&self), event.clone());
            tokio::spawn(async move { run.refresh(event).await });
        }
        for pause in [0, 60, 120] {
            sleep(Duration::from_secs(pause)).await;
            if !self.continues() || matches!(self.refresh(event.clone()).await, Some(Ok(_))) {
                return;
            }
        }
        self.network.count("events dropped after three failures");
    }

    /// Delivers schedules and queue messages.
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

    /// Fires a one-time schedule within a minute of its time; rarely later, twice or not at all.
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
            tokio::spawn(Arc::clone(&self).invoke_async(event.clone()));
        }
        self.network.count("schedules fired");
        self.invoke_async(event).await;
    }

    /// Delivers a queue message until it is handled.
    async fn message(self: Arc<Self>, number: usize, body: String) {
        const RECEIVES: usize = 240;
        let name = format!("message-{number}");
        let connection = serde_json::from_str::<Value>(&body).expect("JSON")["connectionId"].take();
        let connection = connection.as_str().expect("an id");
        let provider = (!is_unconfirmed(connection)).then(|| provider_of(connection));
        sleep(self.network.chance.milliseconds(50..=2000)).await;
        for _ in 0..RECEIVES {
            if !self.continues() {
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
                    if let (None, Some(provider)) = (again, provider) {
                        self.providers.delayed(provider);
                    }
                    sleep(again.unwrap_or(Self::VISIBILITY)).await;
                }
            }
        }
    }

    /// Reads a connection's credentials at random intervals.
    async fn read_credentials(self: Arc<Self>, provider: usize) {
        // The process that refreshed a token calculated its expiry by its own clock.
        let skew = self.max_skew();
        while self.continues() {
            sleep(self.network.chance.seconds(1..=2 * self.plan.read_interval)).await;
            let begun = Instant::now();
            let (token, connection) = (self.token.clone(), id(provider));
            let interruption = self.draw_interruption();
            let answer =
                self.invoke(Self::API, interruption, |instance| async move { instance.get(&connection, &token).await });
            let Some(response) = answer.await else { continue };
            self.network.count(format!("read: {}", response.status().as_u16()));
            self.network
                .check("no read fails without a reason", !is_fault(response.status()), || response.body().clone());
            if response.status() == StatusCode::OK {
                let body: Value = serde_json::from_str(response.body()).expect("JSON");
                let access_token = body["credentials"]["access_token"].as_str().expect("an access token");
                self.providers.served(provider, access_token, skew + begun.elapsed());
                self.check_confirmed(access_token);
            }
            self.check_read(provider, response.status(), begun.elapsed());
        }
    }

    /// Checks that readers get a token while nothing goes wrong, by an immediate refresh if necessary. There may be none just as
    /// a reissued token expires, or if tokens expire within the minute between two refreshes.
    fn check_read(&self, provider: usize, status: StatusCode, took: Duration) {
        let it = self.providers.get(provider);
        let since = self.network.now().saturating_sub(took);
        let is_served = status == StatusCode::OK;
        let has_just_ended = || it.reissues && self.providers.has_just_ended(provider, since);
        if !is_served && has_just_ended() {
            self.network.count("read: none at the expiry of a reissued token");
        }
        let goes_well = self.plan.is_calm() && it.is_reliable() && it.tolerates_retries();
        if goes_well && it.lifetime > MIN_INTERVAL && self.plan.skew == 0 {
            self.network.check("readers get a token while nothing goes wrong", is_served || has_just_ended(), || {
                format!("provider {provider}, a read that began at {since:?}: {status}")
            });
        }
    }

    /// Refreshes manually or reconnects at random intervals.
    async fn refresh_and_reconnect(self: Arc<Self>, provider: usize) {
        const MANUAL_REFRESHES: u64 = 600;
        while self.continues() {
            sleep(self.network.chance.seconds(30..=(4 * self.plan.read_interval).max(30))).await;
            let (token, connection) = (self.token.clone(), id(provider));
            let interruption = self.draw_interruption();
            if self.plan.interruption.is_some() || self.plan.kills + self.plan.stalls + self.plan.background == 0 {
                continue;
            }
            if self.network.chance.per_mille(MANUAL_REFRESHES) {
                let refreshed = self.invoke(Self::CONNECTIONS, interruption, |instance| async move {
                    instance.refresh_now(&connection, &token).await
                });
                if let Some(response) = refreshed.await {
                    self.network.count(format!("manual refresh: {}", response.status().as_u16()));
                }
            } else if self.plan.bound > 0 && self.network.chance.per_mille(self.plan.bound) {
                self.reconnect_bound(provider, interruption).await;
            } else {
                let connected = self.invoke(Self::API, interruption, |instance| async move {
                    instance.connect(provider, &connection, None).await
                });
                if let Some(Ok(access_token)) = connected.await {
                    self.network.count("reconnected");
                    self.network.log(|| format!("connection {provider} is reconnected: {access_token}"));
                    self.acknowledge(provider, &access_token);
                }
            }
        }
    }

    /// Reconnects with a confirmation, which comes after a while or never.
    async fn reconnect_bound(self: &Arc<Self>, provider: usize, interruption: Option<Interruption>) {
        let chance = &self.network.chance;
        let (is_confirmed, wait, lasts) = (chance.per_mille(500), chance.seconds(1..=400), chance.seconds(60..=600));
        let Some(Ok((request, access_token))) = self.hold(provider, lasts, interruption).await else { return };
        sleep(wait).await;
        if is_confirmed && self.continues() {
            let interruption = self.draw_interruption();
            let confirmed = self.confirm(provider, &request, &access_token, interruption).await;
            self.network.count(format!("confirmations: {}", confirmed.map_or("killed", |it| outcome_of(&it))));
        }
    }

    /// Connects with a confirmation. Returns the request's id, and the access token that waits.
    async fn hold(
        self: &Arc<Self>,
        provider: usize,
        lasts: Duration,
        interruption: Option<Interruption>,
    ) -> Option<Result<(String, String), Error>> {
        let connected = self.invoke(Self::API, interruption, |instance| async move {
            let expires_at = instance.sandbox.now() + lasts;
            let request_id = format!("request at {expires_at}");
            let confirmation = Confirmation { request_id: request_id.clone(), expires_at };
            let access_token = instance.connect(provider, &id(provider), Some(&confirmation)).await?;
            Ok((request_id, access_token))
        });
        let connected = connected.await?;
        if let Ok((_, access_token)) = &connected {
            self.network.count("reconnected, unconfirmed");
            self.network.log(|| format!("connection {provider} waits for a confirmation: {access_token}"));
            let grant = self.providers.grant_of(access_token).expect("an issued access token");
            self.unconfirmed.lock().expect("the lock is not poisoned").insert(grant);
        }
        Some(connected)
    }

    /// Confirms a connect.
    async fn confirm(
        self: &Arc<Self>,
        provider: usize,
        request: &str,
        access_token: &str,
        interruption: Option<Interruption>,
    ) -> Option<Result<(), Error>> {
        let grant = self.providers.grant_of(access_token).expect("an issued access token");
        // From here on, they may be served, even if the confirmation is interrupted.
        self.unconfirmed.lock().expect("the lock is not poisoned").remove(&grant);
        let (providers, request) = (Arc::clone(&self.providers), request.to_owned());
        let confirmed = self.invoke(Self::CONNECTIONS, interruption, |instance| async move {
            providers.confirms(instance.sandbox.id, grant);
            instance.confirm(&id(provider), &request).await
        });
        let confirmed = confirmed.await?;
        self.network.log(|| format!("the confirmation of {access_token} answers {confirmed:?}"));
        if confirmed.is_ok() {
            self.acknowledge(provider, access_token);
        }
        Some(confirmed)
    }

    fn check_confirmed(&self, access_token: &str) {
        let grant = self.providers.grant_of(access_token);
        let unconfirmed = self.unconfirmed.lock().expect("the lock is not poisoned");
        let is_confirmed = grant.is_some_and(|grant| !unconfirmed.contains(&grant));
        self.network.check("no unconfirmed credentials are served", is_confirmed, || access_token.to_owned());
    }

    /// Reconnects the first connection with a confirmation, which comes or not.
    async fn edit_bound(self: &Arc<Self>, is_confirmed: bool) {
        const ATTEMPTS: usize = 12;
        let held = self.hold(0, Duration::from_mins(10), None).await;
        let (request, access_token) = held.expect("it is not killed").expect("credentials that wait");
        let (token, connection) = (self.token.clone(), id(0));
        let read = self.invoke(Self::API, None, |instance| async move { instance.get(&connection, &token).await });
        let read = read.await.expect("it is not killed");
        if read.status() == StatusCode::OK {
            let body: Value = serde_json::from_str(read.body()).expect("JSON");
            self.check_confirmed(body["credentials"]["access_token"].as_str().expect("an access token"));
        }
        // Others may hold the lease for a while if credentials are outside. Then it can be repeated.
        for _ in 0..if is_confirmed { ATTEMPTS } else { 0 } {
            match self.confirm(0, &request, &access_token, None).await.expect("it is not killed") {
                Ok(()) => return,
                Err(error) => {
                    let is_busy = self.plan.deployment.is_outside && error.class == ErrorClass::Unavailable;
                    self.network.check("edits are answered", is_busy, || format!("a confirmation: {error}"));
                    sleep(Duration::from_secs(10)).await;
                }
            }
        }
        self.network.check("edits are answered", !is_confirmed, || "a confirmation: too many attempts".into());
    }

    /// Edits the first connection.
    async fn edit(self: Arc<Self>, edit: Edit) {
        const NAMED: &str = r#"{"name":"Edited","tags":{"edited":"yes"}}"#;
        const FLOW: &str = r#"{"name":"Sync","active":true}"#;
        let set = |changes: &[(&'static str, Option<&'static str>)]| {
            self.edited.lock().expect("the lock is not poisoned").extend(changes.iter().copied());
        };
        if !self.manage(Method::PATCH, "", NAMED, StatusCode::OK).await {
            return;
        }
        set(&[("name", Some("Edited")), ("tags", Some(r#"{"edited":"yes"}"#))]);
        if matches!(edit, Edit::MarkFlow) {
            if self.manage(Method::PUT, "/flows/sync", FLOW, StatusCode::NO_CONTENT).await {
                set(&[("flow#sync", Some(FLOW))]);
            }
            self.manage(Method::DELETE, "", "", StatusCode::CONFLICT).await;
        }
        if matches!(edit, Edit::Confirm | Edit::Forget) {
            return self.edit_bound(matches!(edit, Edit::Confirm)).await;
        }
        if matches!(edit, Edit::Patch | Edit::MarkFlow)
            || !self.manage(Method::DELETE, "", "", StatusCode::NO_CONTENT).await
        {
            return;
        }
        if matches!(edit, Edit::Restore) {
            self.manage(Method::POST, "/restore", "", StatusCode::OK).await;
        } else {
            set(&[("name", None), ("tags", None)]);
        }
        let connected = self.invoke(Self::API, None, |instance| async move { instance.connect(0, &id(0), None).await });
        let access_token = connected.await.expect("it is not killed").expect("a connection");
        self.network.log(|| format!("connection 0 is reconnected: {access_token}"));
        self.acknowledge(0, &access_token);
    }

    /// Sends a request about the first connection. Returns whether it was done; it may only fail because others write.
    async fn manage(self: &Arc<Self>, method: Method, action: &str, body: &'static str, expected: StatusCode) -> bool {
        let mut request = request(method, &format!("/connections/{}{action}", id(0)), &self.token);
        *request.body_mut() = body.into();
        let name = format!("{} {}", request.method(), request.uri());
        let answer =
            self.invoke(Self::CONNECTIONS, None, |instance| async move { instance.manage(request).await }).await;
        let answer = answer.expect("it is not killed");
        self.network.log(|| format!("{name}: {} {}", answer.status(), answer.body()));
        self.network.count(format!("edits: {name}: {}", answer.status().as_u16()));
        let is_busy = self.plan.deployment.is_outside && answer.status() == StatusCode::SERVICE_UNAVAILABLE;
        self.network.check("edits are answered", is_busy || answer.status() == expected, || {
            format!("{name}: {} {}", answer.status(), answer.body())
        });
        answer.status() == expected
    }

    /// Checks that the first connection has what people gave it.
    fn check_edited(&self, row: &Value) {
        for (attribute, value) in self.edited.lock().expect("the lock is not poisoned").iter() {
            self.network.check("no edit is lost", row[attribute].as_str() == *value, || format!("{attribute}: {row}"));
        }
    }

    /// Checks that every connection has a due time, is leased, or is flagged for its end user.
    fn check_connections(&self) {
        let now = self.milliseconds();
        for row in self.cloud.rows().iter() {
            let is_due = number(&row["next_refresh_at"]).is_some();
            let is_leased = number(&row["lease_until"]).is_some_and(|until| until > now);
            let is_final = row["state"] == "CLIENT_ACTION_REQUIRED" && row["problem"].is_string();
            let holds = is_due || is_leased || is_final;
            self.network.check("every connection is due, leased or flagged", holds, || row.to_string());
            let provider = provider_of(row["id"].as_str().expect("an id"));
            let it = self.providers.get(provider);
            if it.loses_answers > 0 && self.plan.is_calm() && it.is_reliable() && it.tolerates_retries() {
                let is_ready = row["state"] == "READY";
                self.network.check("one lost answer ends no connection", is_ready, || row.to_string());
            }
        }
    }

    /// Checks what must hold once the trouble is over and Larder has had time to recover.
    async fn check_end(self: &Arc<Self>) {
        self.check_connections();
        self.providers.check_spacing(self.max_skew());
        let instance = self.instance();
        let now = self.milliseconds();
        for item in self.cloud.unconfirmed().iter() {
            // A confirmation that was interrupted has five minutes.
            let overdue = number(&item["next_refresh_at"]).is_none_or(|at| at + 600_000 < now);
            self.network.check("no refresh is forgotten", !overdue, || item.to_string());
        }
        for row in self.cloud.rows().iter() {
            let name = row["id"].as_str().and_then(|id| id.split_once('#')).expect("an id").1.to_owned();
            let provider = provider_of(&name);
            if provider == 0 {
                self.check_edited(row);
            }
            let is_flagged = row["problem"].is_string();
            if row["state"] == "CLIENT_ACTION_REQUIRED" {
                self.network.count("connections that need a reconnect at the end");
            }
            let overdue = number(&row["next_refresh_at"]).is_some_and(|at| at + 300_000 < now);
            self.network.check("no refresh is forgotten", !overdue, || row.to_string());
            let connection = instance.environment().connections().get(&ConnectionKey::new(WORKSPACE, &name)).await;
            let connection = connection.expect("a table").expect("a connection");
            let contents = instance.environment().vault().expect("settings").open(&connection).await.expect("opens");
            let credentials = contents.credentials.expect("credentials").to_value();
            let access_token = credentials["access_token"].as_str().expect("an access token").to_owned();
            let is_newest = self.providers.is_newest(&access_token);
            self.network.check(
                "the newest tokens are stored, or an error explains why not",
                is_newest || is_flagged,
                || format!("{access_token}; {row}"),
            );
            self.check_confirmed(&access_token);
            let grant = self.providers.grant_of(&access_token);
            let acknowledged = self.acknowledged.lock().expect("the lock is not poisoned")[&provider];
            self.network.check("no acknowledged connection is lost", grant >= Some(acknowledged), || {
                format!("{access_token} is stored, but grant {acknowledged} was acknowledged")
            });
        }
    }
}

fn outcome_of(confirmed: &Result<(), Error>) -> &'static str {
    match confirmed {
        Ok(()) => "stored",
        Err(error) if error.class == ErrorClass::Unavailable => "unavailable",
        Err(_) => "rejected",
    }
}

/// Whether a status means a fault in Larder itself.
fn is_fault(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE
}

fn id(provider: usize) -> String {
    format!("connection_{provider}")
}

/// Parses a number as DynamoDB writes it.
fn number(value: &Value) -> Option<i64> {
    value.as_str()?.parse().ok()
}
