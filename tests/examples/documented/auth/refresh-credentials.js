export default async function ({
  connectorParameters,
  connectionParameters,
  credentials,
}) {
  const response = await fetch(connectorParameters.tokenUri, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-www-form-urlencoded",
      Authorization: `Basic ${btoa(
        `${connectorParameters.clientId}:${connectorParameters.clientSecret}`
      )}`,
    },
    body: new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.refresh_token,
      // Add custom parameters
      scope: "read write",
    }),
  })

  const refreshResponse = await response.json()

  // Return updated credentials (merged with existing)
  return {
    access_token: refreshResponse.access_token,
    refresh_token: refreshResponse.refresh_token || credentials.refresh_token,
    expires_at: Date.now() + refreshResponse.expires_in * 1000,
  }
}
