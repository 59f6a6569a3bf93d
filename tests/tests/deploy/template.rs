//! The template deploys exactly what the code needs and the documents describe.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use aws_sdk_dynamodb::types::TableDescription;
use larder::routes::Function;
use larder_engine::refresh::LEASE;
use larder_local::route::function_of;
use larder_tests::document::{self, quoted, read, rows};
use larder_tests::template::{Allowed, Template, list, text};
use larder_tests::{World, root};
use serde_json::{Value, json};

#[test]
fn each_role_allows_exactly_what_security_md_lists() {
    let template = Template::read();
    let functions = template.functions();
    let mut documented = BTreeSet::new();
    for row in rows(&read("SECURITY.md"), "## What each role allows in AWS") {
        let [who, actions, resources, only_if] = row[..] else { panic!("{row:?}") };
        let all = functions.keys().copied().collect();
        for who in if who == "every function" { all } else { quoted(who) } {
            for action in quoted(actions) {
                for resource in quoted(resources) {
                    let resource = match resource {
                        "its own log group" => format!("{}Log", functions[who]),
                        other => other.to_owned(),
                    };
                    let only_if = quoted(only_if).concat();
                    documented.insert(Allowed { who: who.to_owned(), action: action.to_owned(), resource, only_if });
                }
            }
        }
    }
    let allowed = template.allowed();
    let undocumented: Vec<_> = allowed.difference(&documented).collect();
    let missing: Vec<_> = documented.difference(&allowed).collect();
    assert!(
        undocumented.is_empty() && missing.is_empty(),
        "not in SECURITY.md: {undocumented:#?}, not in the template: {missing:#?}"
    );
}

#[test]
fn no_action_has_a_wildcard_and_only_traces_use_any_resource() {
    let template = Template::read();
    for Allowed { who, action, resource, .. } in template.allowed() {
        assert!(!action.contains('*'), "{who} may {action}");
        assert!(!resource.starts_with('*') || action.starts_with("xray:"), "{who} may {action} on {resource}");
    }
    for (name, role) in template.resources("AWS::IAM::Role") {
        assert!(role["Properties"]["ManagedPolicyArns"].is_null(), "{name}");
        assert!(!role["Properties"]["AssumeRolePolicyDocument"].to_string().contains('*'), "{name}");
    }
}

#[test]
fn the_hot_path_can_write_only_the_time_of_a_read() {
    let template = Template::read();
    let allowed = template.allowed().into_iter().filter(|it| it.who == "get-credentials");
    let actions: BTreeSet<_> = allowed.map(|it| it.action).collect();
    let of_every_function =
        ["logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTelemetryRecords", "xray:PutTraceSegments"];
    let own = [
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
        "kms:Decrypt",
        "lambda:InvokeFunction",
        "secretsmanager:GetSecretValue",
    ];
    assert_eq!(actions, own.into_iter().chain(of_every_function).map(ToOwned::to_owned).collect());
    let role = &template.properties("GetCredentialsRole")["Policies"][0]["PolicyDocument"];
    let updates = list(&role["Statement"]).iter().filter(|it| it["Action"] == "dynamodb:UpdateItem");
    let attributes = updates.map(|it| &it["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"]);
    assert_eq!(attributes.collect::<Vec<_>>(), [&json!(["id", "last_used_at"])]);
}

/// A table's keys, indexes and projections in CloudFormation's terms.
fn shape(table: &TableDescription) -> Value {
    let keys = |keys: &[aws_sdk_dynamodb::types::KeySchemaElement]| -> Vec<Value> {
        let key = |it: &aws_sdk_dynamodb::types::KeySchemaElement| json!({"AttributeName": it.attribute_name(), "KeyType": it.key_type().as_str()});
        keys.iter().map(key).collect()
    };
    let attributes = table.attribute_definitions().iter();
    let mut attributes: Vec<_> = attributes.map(|it| (it.attribute_name(), it.attribute_type().as_str())).collect();
    attributes.sort_unstable();
    let indexes = table.global_secondary_indexes().iter().map(|index| {
        let projection = index.projection().unwrap();
        let mut projected = projection.non_key_attributes().to_vec();
        projected.sort_unstable();
        let kind = projection.projection_type().unwrap().as_str();
        (index.index_name().unwrap().to_owned(), json!([keys(index.key_schema()), kind, projected]))
    });
    json!({"keys": keys(table.key_schema()), "attributes": attributes, "indexes": indexes.collect::<serde_json::Map<_, _>>()})
}

/// A part of a table, also if it comes with the newest index only.
fn with_all_indexes(value: &Value) -> &Value {
    let conditional = ["HasStateIndex".into(), value[1].clone(), "AWS::NoValue".into()];
    if *value == json!(conditional) { &value[1] } else { value }
}

/// The same for a table in the template.
fn shape_in_template(table: &Value) -> Value {
    let mut attributes: Vec<_> = list(&table["AttributeDefinitions"])
        .iter()
        .map(with_all_indexes)
        .map(|it| (text(&it["AttributeName"]), text(&it["AttributeType"])))
        .collect();
    attributes.sort_unstable();
    let indexes = table["GlobalSecondaryIndexes"].as_array().cloned().unwrap_or_default();
    let indexes = indexes.iter().map(with_all_indexes).map(|index| {
        let projection = &index["Projection"];
        let mut projected: Vec<_> = projection["NonKeyAttributes"].as_array().into_iter().flatten().map(text).collect();
        projected.sort_unstable();
        (text(&index["IndexName"]).to_owned(), json!([index["KeySchema"], projection["ProjectionType"], projected]))
    });
    json!({"keys": table["KeySchema"], "attributes": attributes, "indexes": indexes.collect::<serde_json::Map<_, _>>()})
}

#[tokio::test]
async fn tables_match_the_keys_and_indexes_that_the_code_creates() {
    let (template, world) = (Template::read(), World::new().await);
    let environment = world.bundle.environment();
    let names = &environment.settings.tables;
    for (resource, name) in [
        ("ConnectionsTable", &names.connections),
        ("SessionsTable", &names.sessions),
        ("AttemptsTable", &names.attempts),
        ("WorkspacesTable", &names.workspaces),
    ] {
        let described = environment.dynamodb().describe_table().table_name(name).send().await.unwrap();
        assert_eq!(shape_in_template(template.properties(resource)), shape(&described.table.unwrap()), "{resource}");
        // `larder-connections` in a stack named `larder`. A suffix is only set after a table was restored.
        assert_eq!(
            format!(
                "{}{}",
                "larder",
                text(&template.properties(resource)["TableName"]).replace("${AWS::StackName}", "")
            ),
            *name
        );
    }
}

#[test]
fn tables_are_encrypted_protected_and_restorable() {
    let template = Template::read();
    let tables = template.resources("AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 4);
    for (name, table) in tables {
        let properties = &table["Properties"];
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{name}");
        assert_eq!(properties["DeletionProtectionEnabled"], true, "{name}");
        assert_eq!(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true, "{name}");
        let encryption = json!({"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": "Key.Arn"});
        assert_eq!(properties["SSESpecification"], encryption, "{name}");
    }
    for (table, attribute) in [("SessionsTable", "ttl"), ("AttemptsTable", "ttl"), ("ConnectionsTable", "remove_at")] {
        let ttl = json!({"AttributeName": attribute, "Enabled": true});
        assert_eq!(template.properties(table)["TimeToLiveSpecification"], ttl, "{table}");
    }
    assert_eq!(template.properties("WorkspacesTable")["TimeToLiveSpecification"], Value::Null);
    assert_eq!(template.properties("Key")["EnableKeyRotation"], true);
}

#[test]
fn the_integration_index_finds_connections_by_id() {
    let template = Template::read();
    let indexes = list(&template.properties("ConnectionsTable")["GlobalSecondaryIndexes"]);
    let index = indexes.iter().find(|index| index["IndexName"] == "by_integration").expect("an index");
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    assert_eq!(index["KeySchema"], json!([key("integration_key", "HASH"), key("id", "RANGE")]));
    assert_eq!(index["Projection"], json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["tenant"]}));
}

#[test]
fn the_newest_index_can_come_with_a_second_update() {
    let template = Template::read();
    assert_eq!(template.section("Conditions")["HasStateIndex"], json!(["StateIndex", "now"]));
    let table = template.properties("ConnectionsTable");
    let conditional = |name: &str| list(&table[name]).iter().filter(|it| it[0] == "HasStateIndex").count();
    assert_eq!((conditional("AttributeDefinitions"), conditional("GlobalSecondaryIndexes")), (1, 1));
}

#[test]
fn irreplaceable_resources_outlive_the_stack() {
    let template = Template::read();
    for kind in ["AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::SecretsManager::Secret"] {
        for (name, resource) in template.resources(kind) {
            assert_eq!(
                (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]),
                (&json!("Retain"), &json!("Retain")),
                "{name}"
            );
        }
    }
}

#[test]
fn every_function_is_deployed_and_has_the_layer_if_it_needs_it() {
    let template = Template::read();
    let folders = fs::read_dir(root().join("functions")).unwrap();
    let folders = folders.map(Result::unwrap).filter(|entry| entry.path().is_dir());
    let folders: BTreeSet<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let functions = template.functions();
    assert_eq!(functions.keys().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), folders);
    for (binary, name) in functions {
        let layers =
            if matches!(binary, "get-credentials" | "put-credentials") { Value::Null } else { json!(["Connectors"]) };
        assert_eq!(template.properties(name)["Layers"], layers, "{binary}");
        assert_eq!(template.properties(name)["FunctionName"], format!("${{AWS::StackName}}-{binary}"));
        assert_eq!(template.properties(name)["Role"], format!("{name}Role.Arn"));
    }
    let layer = root().join("infra").join(text(&template.properties("Connectors")["ContentUri"]));
    for file in ["oauth2/spec.yml", "slack.yml", "index.json"] {
        assert!(layer.join("connectors").join(file).exists(), "{file}");
    }
}

#[test]
fn each_function_has_its_own_log_group_with_a_retention() {
    let template = Template::read();
    for (name, log) in template.resources("AWS::Logs::LogGroup") {
        assert_eq!(log["Properties"]["RetentionInDays"], "LogRetentionDays", "{name}");
        assert_eq!(log["Properties"]["KmsKeyId"], "Key.Arn", "{name}");
    }
    for (binary, name) in template.functions() {
        assert_eq!(template.properties(name)["LoggingConfig"]["LogGroup"], format!("{name}Log"), "{binary}");
        assert_eq!(
            template.properties(&format!("{name}Log"))["LogGroupName"],
            format!("/aws/lambda/${{AWS::StackName}}-{binary}")
        );
    }
}

#[test]
fn only_tables_get_grants_of_the_key_and_it_encrypts_the_logs() {
    let template = Template::read();
    let mut granting = 0;
    for statement in list(&template.properties("Key")["KeyPolicy"]["Statement"]) {
        let actions = statement["Action"].to_string();
        if actions.contains("CreateGrant") {
            granting += 1;
            assert_eq!(statement["Condition"]["Bool"]["kms:GrantIsForAWSResource"], true, "{statement}");
        }
        match text(&statement["Sid"]) {
            "IdentityPoliciesDecide" => assert_eq!(statement["Action"], "kms:*"),
            "LogsOfThisStack" => {
                let groups = list(&statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]);
                assert!(!groups.is_empty() && groups.iter().all(|it| text(it).contains("/${AWS::StackName}")));
            }
            _ => assert!(statement["Condition"]["StringEquals"]["kms:CallerAccount"].is_string(), "{statement}"),
        }
    }
    assert_eq!(granting, 1);
}

#[test]
fn the_functions_answer_preflight_requests_of_every_origin_by_default() {
    let template = Template::read();
    assert_eq!(template.section("Parameters")["CorsOrigins"]["Default"], "*");
    assert_eq!(template.section("Globals")["Function"]["Environment"]["Variables"]["CORS_ORIGINS"], "CorsOrigins");
    // API Gateway would answer for the routes that browsers open, too.
    assert_eq!(template.properties("Api")["CorsConfiguration"], Value::Null);
}

#[test]
fn limits_are_parameters_that_are_off_by_default() {
    let template = Template::read();
    let parameters = template.section("Parameters");
    for (name, default) in [
        ("RequestsPerSecond", json!(0)),
        ("RequestBurst", json!(0)),
        ("ReservedRefreshes", json!(0)),
        ("ExecuteApiEndpoint", json!("open")),
    ] {
        assert_eq!(parameters[name]["Default"], default, "{name}");
    }
    let rate = json!({"ThrottlingRateLimit": "RequestsPerSecond", "ThrottlingBurstLimit": "RequestBurst"});
    for (resource, property, condition, value) in [
        ("Stage", "DefaultRouteSettings", json!(["LimitsRequests", ["RequestsPerSecond", "0"]]), rate),
        (
            "Refresh",
            "ReservedConcurrentExecutions",
            json!(["ReservesRefreshes", ["ReservedRefreshes", "0"]]),
            json!("ReservedRefreshes"),
        ),
    ] {
        assert_eq!(template.properties(resource)[property], json!([condition[0], value, "AWS::NoValue"]), "{resource}");
        assert_eq!(template.section("Conditions")[text(&condition[0])], json!([condition[1]]));
    }
    assert_eq!(
        template.properties("Api")["DisableExecuteApiEndpoint"],
        json!(["ClosesEndpoint", true, "AWS::NoValue"])
    );
    assert_eq!(template.section("Conditions")["ClosesEndpoint"], json!(["ExecuteApiEndpoint", "closed"]));
}

#[test]
fn refreshing_functions_have_time_to_save_before_redelivery() {
    let template = Template::read();
    let seconds = |value: &Value| Duration::from_secs(value.as_u64().unwrap());
    let timeout = |binary: &str| seconds(template.of_function(template.functions()[binary], "Timeout"));
    for binary in ["refresh", "connections"] {
        // Saves are retried for as long as the lease, which covers the provider's response time.
        assert!(timeout(binary) >= 2 * LEASE, "{binary}: {:?}", timeout(binary));
    }
    for binary in ["connect", "oauth-callback", "get-credentials", "put-credentials"] {
        assert_eq!(timeout(binary), Duration::from_secs(30), "API Gateway does not wait longer for {binary}");
    }
    for (name, mapping) in template.resources("AWS::Lambda::EventSourceMapping") {
        assert_eq!(mapping["Properties"]["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{name}");
        let queue = text(&mapping["Properties"]["EventSourceArn"]).trim_end_matches(".Arn");
        assert!(seconds(&template.properties(queue)["VisibilityTimeout"]) > timeout("refresh"), "{queue}");
    }
}

#[test]
fn routes_match_the_documents_and_the_local_server() {
    let template = Template::read();
    let functions = template.functions();
    let routes: BTreeSet<(String, &str)> = template
        .resources("AWS::ApiGatewayV2::Route")
        .into_values()
        .map(|route| {
            let integration =
                text(&route["Properties"]["Target"]).strip_prefix("integrations/${").unwrap().trim_end_matches('}');
            let name = text(&template.properties(integration)["IntegrationUri"]).trim_end_matches(".Arn");
            let (binary, _) = functions.iter().find(|(_, it)| **it == name).unwrap();
            assert_eq!(template.properties(&format!("{name}Permission"))["Principal"], "apigateway.amazonaws.com");
            (text(&route["Properties"]["RouteKey"]).to_owned(), *binary)
        })
        .collect();
    let all = document::routes();
    let all = all.iter().map(|(method, path, function)| (format!("{method} {path}"), function.as_str()));
    assert_eq!(routes, all.collect());
    for (route, binary) in &routes {
        let (method, path) = route.split_once(' ').unwrap();
        assert_eq!(function_of(&method.parse().unwrap(), path).map(Function::name), Some(*binary), "{route}");
    }
}

#[test]
fn every_variable_set_is_documented_and_read() {
    let template = Template::read();
    let readme = read("infra/README.md");
    let parts = fs::read_dir(root().join("shared/src/environment")).into_iter().flatten();
    let parts = parts.map(|part| fs::read_to_string(part.unwrap().path()).unwrap());
    let environment: String = parts.collect();
    let documented: Vec<_> =
        rows(&readme, "The Lambda functions read the environment").into_iter().flat_map(|row| quoted(row[0])).collect();
    for (name, _) in template.section("Globals")["Function"]["Environment"]["Variables"].as_object().unwrap() {
        assert!(documented.contains(&name.as_str()), "{name} is not in the table of infra/README.md");
        assert!(name == "RUST_LOG" || environment.contains(&format!("\"{name}\"")), "{name} is not read");
    }
    assert!(
        !read("infra/template.yaml").contains("LARDER_LOCAL"),
        "deployed functions must not reach their own network"
    );
}

#[test]
fn undelivered_and_failed_events_end_in_a_queue() {
    let template = Template::read();
    // Lambda catches failures of `refresh`, which schedules and rules invoke asynchronously.
    let configs = template.resources("AWS::Lambda::EventInvokeConfig");
    let [(_, config)] = configs.into_iter().collect::<Vec<_>>()[..] else {
        panic!("exactly one function takes asynchronous events")
    };
    let config = &config["Properties"];
    assert_eq!(
        (&config["FunctionName"], &config["Qualifier"]),
        (&json!(template.functions()["refresh"]), &json!("$LATEST"))
    );
    assert_eq!(config["DestinationConfig"]["OnFailure"]["Destination"], "FailedInvocations.Arn");
    assert!(config["MaximumRetryAttempts"].as_u64().is_some() && config["MaximumEventAgeInSeconds"].as_u64().is_some());
    // Scheduler catches undelivered schedules. The module `scheduler` tests how the code uses this variable.
    let variables = &template.section("Globals")["Function"]["Environment"]["Variables"];
    assert_eq!(variables["SCHEDULE_DEAD_LETTER_ARN"], "UndeliveredSchedules.Arn");
    // Results that cannot be saved end in a queue without a consumer. The refresh queue needs none: due connections are swept
    // again.
    assert_eq!(template.properties("RecoveryQueue")["RedrivePolicy"]["deadLetterTargetArn"], "Unrecovered.Arn");
}

#[test]
fn queues_are_encrypted_and_dead_letter_queues_have_alarms() {
    let template = Template::read();
    let watched: BTreeSet<_> = template
        .resources("AWS::CloudWatch::Alarm")
        .into_values()
        .filter(|alarm| alarm["Properties"]["Namespace"] == "AWS/SQS")
        .map(|alarm| {
            text(&list(&alarm["Properties"]["Dimensions"])[0]["Value"]).trim_end_matches(".QueueName").to_owned()
        })
        .collect();
    let mut dead_ends = BTreeSet::new();
    let consumed = template.resources("AWS::Lambda::EventSourceMapping");
    for (name, queue) in template.resources("AWS::SQS::Queue") {
        assert_eq!(queue["Properties"]["SqsManagedSseEnabled"], true, "{name}");
        if !consumed.values().any(|it| it["Properties"]["EventSourceArn"] == format!("{name}.Arn")) {
            dead_ends.insert(name.to_owned());
        }
    }
    assert_eq!(watched, dead_ends);
}
