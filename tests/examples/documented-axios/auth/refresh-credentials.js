import axios from "axios"
export default async function refreshToken({
credentials,
connectorParameters,
}) {
const response = await axios.post(
`https://api.example.com/v1/generate-token`,
{},
{
auth: {
username: connectorParameters.clientId,
password: connectorParameters.clientSecret,
},
}
)
const accessToken = response.data?.access_token
if (!accessToken) {
throw new Error("Failed to get access token")
}
return { accessToken }
}
