// Calls Larder with Membrane's SDKs in Node.js, and checks the answers with the SDK's own schemas.
//
// Run `node sdk-calls.mjs '<json options>'` with `{apiUri, workspaceKey, workspaceSecret, baseUri, tenants, admin}`: `tenants`
// has each SDK's token, for a tenant with the SDK's name and no connections, and `baseUri` is that of sdk-app.mjs. Prints an
// object with the name of each call and null, or a string that says what is wrong. Expects the integrations of the test.

import assert from "node:assert/strict";
import { IntegrationAppClient } from "@integration-app/sdk";
import * as sdk from "@membranehq/sdk";

const { apiUri, workspaceKey, workspaceSecret, baseUri, tenants, admin: adminToken } = JSON.parse(process.argv[2]);

const PRIVATE = ["parameters", "redirectUris", "optionsConfig", "connectorParametersSchema"];
const Connections = sdk.createPaginationResponseSchema(sdk.ConnectionApiResponse);
const Integrations = sdk.createPaginationResponseSchema(sdk.IntegrationApiResponse);
const Options = sdk.GeneratedConnectorOption.array();

/** Returns the value if the schema accepts it as it is. */
function parse(schema, value) {
  const problems = schema.safeParse(value).error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  assert.ok(!problems, `the SDK's schema finds ${problems?.join("; ")} in ${JSON.stringify(value)}`);
  return value;
}

const keysOf = (items) => items.map(({ key }) => key).sort();
const idsOf = ({ items }) => items.map(({ id }) => id).sort();

/** Waits for a call to fail with a Larder error that has these members, and returns the error. */
async function failure(call, members) {
  let value;
  try {
    value = await call();
  } catch (thrown) {
    assert.ok(thrown.data, describe(thrown));
    const error = parse(sdk.ErrorDataSchema, thrown.data);
    for (const name in members) assert.equal(error[name], members[name], JSON.stringify(error));
    return error;
  }
  assert.fail(`it succeeded with ${JSON.stringify(value)}`);
}

const isNotFound = (call) => failure(call, { type: "bad_request", key: "not_found" });

function describe({ name, message, data, response, config }) {
  if (!response) return data ? `${name}: ${JSON.stringify(data)}` : `${name}: ${message}`;
  return `${config.method} ${config.url}: ${response.status} ${JSON.stringify(response.data)}`;
}

/** The calls that Larder answers. They depend on each other, so their order matters. */
function answered(name, Client) {
  const tenant = new Client({ apiUri, token: tenants[name] });
  const admin = new Client({ apiUri, token: adminToken });
  // The connections that the calls create: one with a key, and one with tokens.
  let keyed;
  let tokens;
  return {
    "self.get": async () => {
      const self = parse(sdk.TenantSelfResponse, await tenant.self.get());
      assert.deepEqual([self.id, self.workspaceKey], [name, workspaceKey]);
    },
    "self.patch": async () => {
      assert.deepEqual(await tenant.self.patch({ credentials: { token: "unused" } }), await tenant.self.get());
    },
    "the options `credentials` and `fetchToken`": async () => {
      const fetchToken = async () => tenants[name];
      const client = new Client({ apiUri, fetchToken, credentials: { token: "unused" } });
      assert.equal((await client.self.get()).id, name);
    },

    "integrations.find": async () => {
      const { items } = parse(Integrations, await tenant.integrations.find());
      assert.deepEqual(keysOf(items), ["choice", "demo", "keyed"]);
      for (const member of PRIVATE) assert.ok(!items.some((item) => member in item), member);
    },
    "integrations.find with search": async () => {
      assert.deepEqual(keysOf((await tenant.integrations.find({ search: "keye" })).items), ["keyed"]);
    },
    "integrations.find with limit and cursor": async () => {
      const keys = [];
      let cursor;
      do {
        const page = parse(Integrations, await tenant.integrations.find({ limit: 2, cursor }));
        assert.ok(page.items.length <= 2, JSON.stringify(page));
        keys.push(...keysOf(page.items));
        cursor = page.cursor;
      } while (cursor);
      assert.deepEqual(keys.sort(), ["choice", "demo", "keyed"]);
    },
    "integrations.findAll": async () => {
      assert.deepEqual(keysOf(await tenant.integrations.findAll()), ["choice", "demo", "keyed"]);
    },
    "integration.get": async () => {
      const integration = parse(sdk.IntegrationApiResponse, await tenant.integration("keyed").get());
      const { connectorId, authType, state, connection } = integration;
      assert.deepEqual([connectorId, authType, state, connection], ["keyed", "client-credentials", "READY", undefined]);
      for (const member of PRIVATE) assert.ok(!(member in integration), member);
      // `connect()` of both SDKs goes on with this id.
      assert.deepEqual(await tenant.integration(integration.id).get(), integration);
    },
    "integration.get with several ways to connect": async () => {
      const { authOptions } = parse(sdk.IntegrationApiResponse, await tenant.integration("choice").get());
      assert.deepEqual(keysOf(authOptions), ["key", "oauth"]);
    },
    "integration.get of an unknown one": () => isNotFound(() => tenant.integration("unknown").get()),
    "integration.getConnectorSpec": async () => {
      const { key, auth } = parse(sdk.ConnectorSpec, await tenant.integration("keyed").getConnectorSpec());
      assert.deepEqual([key, auth.type], ["keyed", "client-credentials"]);
      assert.deepEqual(Object.keys(auth.ui.schema.properties), ["apiKey"]);
    },
    "integration.getConnectorSpec with several ways to connect": async () => {
      const { auth } = parse(sdk.ConnectorSpec, await tenant.integration("choice").getConnectorSpec());
      assert.deepEqual([auth.options.key.type, auth.options.oauth.type], ["client-credentials", "oauth2"]);
    },
    "POST /connection-options": async () => {
      for (const integration of [{ integrationKey: "keyed" }, { integrationId: "keyed" }]) {
        const [option, ...more] = parse(Options, await tenant.post("/connection-options", integration));
        assert.deepEqual(more, []);
        // Without an `authOptionKey`, `connect()` looks for an option without a key.
        assert.ok(!("key" in option), JSON.stringify(option));
        assert.deepEqual([option.type, Object.keys(option.inputSchema.properties)], ["client-credentials", ["apiKey"]]);
      }
    },
    "POST /connection-options with several ways to connect": async () => {
      const options = await tenant.post("/connection-options", { integrationKey: "choice" });
      assert.deepEqual(keysOf(parse(Options, options)), ["key", "oauth"]);
    },
    "POST /connectors/keyed/generate-options": async () => {
      const options = await tenant.post("/connectors/keyed/generate-options", { connectorParameters: {} });
      assert.equal(parse(Options, options)[0].type, "client-credentials");
    },

    "connections.find with none": async () => {
      assert.deepEqual(parse(Connections, await tenant.connections.find()), { items: [] });
    },
    "connections.create with a wrong key": async () => {
      const create = () => tenant.connections.create({ integrationKey: "keyed", input: { apiKey: "bad" } });
      await failure(create, { type: "connection" });
      assert.deepEqual(await tenant.connections.find(), { items: [] });
    },
    "connections.create without a key": async () => {
      const create = () => tenant.connections.create({ integrationKey: "keyed", input: {} });
      const error = await failure(create, { type: "bad_request" });
      assert.match(JSON.stringify(error), /"fields".*apiKey/);
    },
    "connections.create with a key": async () => {
      const wanted = { name: "Mine", key: "mine", meta: { color: "green" } };
      const input = { apiKey: "good" };
      keyed = await tenant.connections.create({ integrationKey: "keyed", input, ...wanted });
      parse(sdk.ConnectionApiResponse, keyed);
      const { userId, integrationId, connectorId, connected, disconnected, state, ...rest } = keyed;
      assert.deepEqual({ name: rest.name, key: rest.key, meta: rest.meta }, wanted);
      assert.deepEqual([userId, integrationId, connectorId], [name, "keyed", "keyed"]);
      assert.deepEqual([connected, disconnected, state], [true, false, "READY"]);
    },
    "connections.create with tokens": async () => {
      const credentials = { access_token: "issued", refresh_token: "renewable", expires_in: 3600 };
      const wanted = { integrationId: "choice", authOptionKey: "oauth", credentials };
      tokens = parse(sdk.ConnectionApiResponse, await tenant.connections.create(wanted));
      assert.deepEqual([tokens.authOptionKey, tokens.canRefreshCredentials], ["oauth", true]);
      assert.ok(tokens.nextCredentialsRefreshAt, JSON.stringify(tokens));
    },
    "connections.find": async () => {
      const found = parse(Connections, await tenant.connections.find());
      assert.deepEqual(idsOf(found), [keyed.id, tokens.id].sort());
    },
    "connections.find with filters": async () => {
      const none = [];
      for (const [query, ids] of [
        [{ integrationKey: "keyed" }, [keyed.id]],
        [{ integrationId: "choice" }, [tokens.id]],
        [{ connectorId: "keyed" }, [keyed.id]],
        [{ search: "min" }, [keyed.id]],
        [{ connected: true, integrationKey: "keyed" }, [keyed.id]],
        [{ disconnected: true }, none],
        [{ isTest: true }, none],
        [{ integrationKey: "unknown" }, none],
        [{ includeSecrets: true, search: "Mine" }, [keyed.id]],
      ]) {
        const found = parse(Connections, await tenant.connections.find(query));
        assert.deepEqual(idsOf(found), ids, JSON.stringify(query));
        assert.ok(!JSON.stringify(found).includes("good"), "a secret is shown");
      }
    },
    "connections.find with userId of an admin": async () => {
      const found = parse(Connections, await admin.connections.find({ userId: name }));
      assert.deepEqual(idsOf(found), [keyed.id, tokens.id].sort());
    },
    "connections.find with limit and cursor": async () => {
      const ids = [];
      let cursor;
      do {
        const page = parse(Connections, await tenant.connections.find({ limit: 1, cursor }));
        ids.push(...idsOf(page));
        cursor = page.cursor;
      } while (cursor);
      assert.deepEqual(ids.sort(), [keyed.id, tokens.id].sort());
    },
    "connections.find with a nonsense cursor": async () => {
      await failure(() => tenant.connections.find({ cursor: "zzz" }), { type: "bad_request" });
    },
    "connection.get by id, key and integration": async () => {
      for (const selector of [keyed.id, "mine", "keyed"]) {
        const connection = parse(sdk.ConnectionApiResponse, await tenant.connection(selector).get());
        assert.equal(connection.id, keyed.id, selector);
      }
    },
    "connection.get of an unknown one": () => isNotFound(() => tenant.connection("unknown").get()),
    "integration.get with its connection": async () => {
      const { connection } = parse(sdk.IntegrationApiResponse, await tenant.integration("keyed").get());
      assert.deepEqual([connection?.id, connection?.disconnected], [keyed.id, false]);
    },
    "connection.patch": async () => {
      const patched = await tenant.connection(keyed.id).patch({ name: "Ours", meta: { color: "blue" } });
      const { name, meta } = parse(sdk.ConnectionApiResponse, patched);
      assert.deepEqual([name, meta], ["Ours", { color: "blue" }]);
    },
    "connection.patch with secrets": async () => {
      const bad = () => tenant.connection(keyed.id).patch({ input: { apiKey: "bad" } });
      await failure(bad, { type: "connection" });
      assert.deepEqual(await tenant.post(`/connections/${keyed.id}/test`), { success: true });
      const patched = await tenant.connection(keyed.id).patch({ input: { apiKey: "good" } });
      assert.equal(parse(sdk.ConnectionApiResponse, patched).state, "READY");
    },
    "connection.put": async () => {
      const put = await tenant.connection(keyed.id).put({ ...(await tenant.connection(keyed.id).get()), name: "Put" });
      assert.equal(parse(sdk.ConnectionApiResponse, put).name, "Put");
    },
    "connection.refreshCredentials": async () => {
      await tenant.connection(tokens.id).refreshCredentials();
    },
    "POST /connections/{id}/test": async () => {
      const tested = parse(sdk.ConnectionTestResponse, await tenant.post(`/connections/${tokens.id}/test`));
      assert.equal(tested.success, true);
    },
    "GET /connections/{id}/attempts": async () => {
      const { items } = await tenant.get(`/connections/${keyed.id}/attempts`);
      assert.ok(items.length > 0);
    },
    "connection.archive of one in use": async () => {
      await tenant.put(`/connections/${keyed.id}/flows/nightly`, { name: "Nightly export" });
      assert.match(JSON.stringify(await tenant.get(`/connections/${keyed.id}/dependencies`)), /Nightly export/);
      const { message } = await failure(() => tenant.connection(keyed.id).archive(), { key: "in_use" });
      assert.match(message, /Nightly export/);
      await tenant.delete(`/connections/${keyed.id}/flows/nightly`);
    },
    "connection.archive": async () => {
      await tenant.connection(keyed.id).archive();
      await isNotFound(() => tenant.connection(keyed.id).get());
      assert.deepEqual(idsOf(await tenant.connections.find()), [tokens.id]);
      const { items } = parse(Connections, await tenant.connections.find({ includeArchived: true }));
      assert.ok(items.find((it) => it.id === keyed.id)?.archivedAt, JSON.stringify(items));
    },
    "POST /connections/{id}/restore": async () => {
      const { state, clientAction } = parse(
        sdk.ConnectionApiResponse,
        await tenant.post(`/connections/${keyed.id}/restore`),
      );
      assert.deepEqual([state, clientAction?.type], ["CLIENT_ACTION_REQUIRED", "connect"]);
    },
    "POST /connections/{id}/disconnect": async () => {
      await tenant.post(`/connections/${tokens.id}/disconnect`);
      const { state, disconnected } = parse(sdk.ConnectionApiResponse, await tenant.connection(tokens.id).get());
      assert.deepEqual([state, disconnected], ["CLIENT_ACTION_REQUIRED", true]);
    },

    "integrations.create": async () => {
      const wanted = { key: "made", name: "Made", connectorKey: "keyed", parameters: { baseUri } };
      const made = parse(sdk.IntegrationApiResponse, await admin.integrations.create(wanted));
      assert.deepEqual([made.key, made.name, made.connectorId], ["made", "Made", "keyed"]);
    },
    "integrations.create of a tenant": async () => {
      const create = () => tenant.integrations.create({ key: "other", connectorKey: "keyed" });
      await failure(create, { key: "access_denied" });
    },
    "integration.patch": async () => {
      const patched = await admin.integration("made").patch({ name: "Changed" });
      assert.equal(parse(sdk.IntegrationApiResponse, patched).name, "Changed");
      assert.equal((await tenant.integration("made").get()).name, "Changed");
    },
    "integration.archive": async () => {
      await admin.integration("made").archive();
      await isNotFound(() => admin.integration("made").get());
    },
    "a wrong token": async () => {
      const client = new Client({ apiUri, token: `${tenants[name]}x` });
      await failure(() => client.self.get(), { key: "not_authenticated" });
    },
  };
}

/** The calls of Membrane's engine. It is no part of Larder, so each answers that there is no such route. */
function unanswered(name, Client) {
  const tenant = new Client({ apiUri, token: tenants[name] });
  const integration = tenant.integration("keyed");
  const connection = tenant.connection("keyed");
  const collection = connection.dataCollection("contacts");
  const lists = ["actions", "dataSources", "fieldMappings", "flows", "screens", "appEventTypes", "appDataSchemas"]
    .concat(["actionInstances", "dataSourceInstances", "fieldMappingInstances", "flowInstances", "flowRuns"])
    .concat(["dataLinkTables", "dataLinkTableInstances", "appEventSubscriptions", "appDataSchemaInstances"]);
  const calls = {
    "integration.setup": () => integration.setup(),
    "integration.restore": () => integration.restore(),
    "integration.getOperations": () => integration.getOperations(),
    "integration.getOperation": () => integration.getOperation("list"),
    "integration.getDataCollections": () => integration.getDataCollections(),
    "integration.getDataCollection": () => integration.getDataCollection("contacts"),
    "integration.actions.list": () => integration.actions.list(),
    "integration.flows.list": () => integration.flows.list(),
    "connection.operation.get": () => connection.operation("list").get(),
    "connection.operation.run": () => connection.operation("list").run({}),
    "connection.dataCollection.get": () => collection.get(),
    "connection.actions.list": () => connection.actions.list(),
    "connection.action.run": () => connection.action("send").run({}),
    "connection.flows.list": () => connection.flows.list(),
    "connection.flow.run": () => connection.flow("sync").run({}),
    "externalEventSubscriptions.find": () => tenant.externalEventSubscriptions().find(),
    "flow.get": () => tenant.flow("sync").get(),
    "flowInstance.get": () => tenant.flowInstance({ flowKey: "sync", connectionId: "keyed" }).get(),
  };
  for (const method of ["findById", "list", "search", "match", "create", "update", "delete"]) {
    calls[`connection.dataCollection.${method}`] = () => collection[method]({});
  }
  for (const list of lists) calls[`${list}.find`] = () => tenant[list].find();
  const notFound = async (call) => assert.match((await isNotFound(call)).message, /there is no route /);
  return Object.fromEntries(Object.entries(calls).map(([name, call]) => [name, () => notFound(call)]));
}

/** The newer SDK can sign tokens itself. */
async function signs() {
  const options = { apiUri, workspaceKey, workspaceSecret, tenantKey: "signed" };
  const self = parse(sdk.TenantSelfResponse, await new sdk.MembraneClient(options).self.get());
  assert.equal(self.id, "signed");
}

const outcomes = {};
// The SDKs leave some failures unhandled, such as that of the option `credentials`.
process.on("unhandledRejection", (error) => {
  outcomes[`unhandled: ${error}`] = describe(error);
});
for (const [name, Client] of [
  ["@membranehq/sdk", sdk.MembraneClient],
  ["@integration-app/sdk", IntegrationAppClient],
]) {
  const own = Client === sdk.MembraneClient ? { "the option `workspaceSecret`": signs } : {};
  for (const [call, run] of Object.entries({ ...answered(name, Client), ...unanswered(name, Client), ...own })) {
    outcomes[`${name}: ${call}`] = await run().then(() => null, describe);
  }
}
process.stdout.write(JSON.stringify(outcomes));
