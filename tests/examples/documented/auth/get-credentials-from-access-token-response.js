export default async function ({
  connectorParameters,
  connectionParameters,
  queryParameters,
  tokenResponse,
}) {
  // Make additional API calls if needed
  const userInfoResponse = await fetch("https://api.example.com/userinfo", {
    headers: {
      Authorization: `Bearer ${tokenResponse.access_token}`,
    },
  })

  const userInfo = await userInfoResponse.json()

  // Return transformed credentials
  return {
    access_token: tokenResponse.access_token,
    refresh_token: tokenResponse.refresh_token,
    // Add custom fields
    userId: userInfo.id,
    userName: userInfo.name,
    expires_at: Date.now() + tokenResponse.expires_in * 1000,
  }
}
