export default async function ({ apiClient }) {
  // Make a simple API call to verify credentials
  await apiClient.request({
    url: "/user",
    method: "GET",
  })

  // Return true if successful
  return true
}
