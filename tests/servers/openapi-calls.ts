// Calls Larder through a client whose types are generated from `/openapi.json`. The option is JSON with `url` and `token`.
// Prints the outcomes as JSON. Lines with `@ts-expect-error` are mistakes that the types must find.

import createClient from "openapi-fetch";
import type { components, paths } from "./larder.d.ts";

declare const process: { argv: string[] };

const { url, token }: { url: string; token: string } = JSON.parse(process.argv[2] ?? "{}");
const larder = createClient<paths>({ baseUrl: url, headers: { authorization: `Bearer ${token}` } });

const self = await larder.GET("/self");
const workspace: string | undefined = self.data?.workspaceKey;

const connectionId = "generated";
const stored = await larder.PUT("/credentials", {
  params: { query: { connectionId } },
  body: { credentials: { apiKey: "k" } },
});

const read = await larder.GET("/credentials", { params: { query: { connectionId } } });

const path = { id: connectionId };
const changed = await larder.PATCH("/connections/{id}", {
  params: { path },
  body: { name: "Generated", tags: { team: "sales" }, key: null },
});
const connection: components["schemas"]["Connection"] | undefined = changed.data;

const page = await larder.GET("/connections", { params: { query: { limit: 10, tags: { team: "sales" } } } });
const names: string[] = page.data?.items.map((item) => item.name) ?? [];

await larder.PUT("/connections/{id}/flows/{flow}", {
  params: { path: { id: connectionId, flow: "7" } },
  body: { name: "Nightly sync" },
});
const rejected = await larder.DELETE("/connections/{id}", { params: { path } });
const reason: components["schemas"]["ErrorKey"] | undefined = rejected.error?.key;
const flows: (string | null | undefined)[] = rejected.error?.data?.flows?.map((flow) => flow.name) ?? [];

console.log(
  JSON.stringify({
    workspace,
    stored: stored.response.status,
    credentials: read.data?.credentials,
    state: connection?.state,
    names,
    cursor: page.data?.cursor ?? null,
    reason,
    flows,
  }),
);

export function mistakes() {
  // @ts-expect-error There is no such route.
  larder.GET("/connection");
  // @ts-expect-error It has no such method.
  larder.DELETE("/self");
  // @ts-expect-error The id is missing.
  larder.GET("/connections/{id}");
  // @ts-expect-error There is no such parameter.
  larder.GET("/connections", { params: { query: { size: 10 } } });
  // @ts-expect-error There is no such state.
  larder.GET("/connections", { params: { query: { state: "BROKEN" } } });
  // @ts-expect-error Tags are an object.
  larder.PATCH("/connections/{id}", { params: { path }, body: { tags: ["sales"] } });
  // @ts-expect-error The integration is missing.
  larder.POST("/connections", { body: { input: { apiKey: "k" } } });
  // @ts-expect-error A connection has no credentials.
  return connection?.credentials;
}
