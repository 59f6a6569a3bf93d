// The names of the status codes and vice versa: IANA's names, plus Cloudflare's.

const NAMES = {
  100: "Continue SwitchingProtocols Processing EarlyHints",
  200: "Ok Created Accepted NonAuthoritativeInformation NoContent ResetContent PartialContent MultiStatus AlreadyReported",
  226: "ImUsed",
  300: "MultipleChoices MovedPermanently Found SeeOther NotModified UseProxy Unused TemporaryRedirect PermanentRedirect",
  400: "BadRequest Unauthorized PaymentRequired Forbidden NotFound MethodNotAllowed NotAcceptable ProxyAuthenticationRequired",
  408: "RequestTimeout Conflict Gone LengthRequired PreconditionFailed PayloadTooLarge UriTooLong UnsupportedMediaType",
  416: "RangeNotSatisfiable ExpectationFailed ImATeapot",
  421: "MisdirectedRequest UnprocessableEntity Locked FailedDependency TooEarly UpgradeRequired",
  428: "PreconditionRequired TooManyRequests",
  431: "RequestHeaderFieldsTooLarge",
  451: "UnavailableForLegalReasons",
  500: "InternalServerError NotImplemented BadGateway ServiceUnavailable GatewayTimeout HttpVersionNotSupported",
  506: "VariantAlsoNegotiates InsufficientStorage LoopDetected",
  510: "NotExtended NetworkAuthenticationRequired",
  520: "WebServerReturnsAnUnknownError WebServerIsDown ConnectionTimedOut OriginIsUnreachable TimeoutOccurred",
  525: "SslHandshakeFailed InvalidSslCertificate",
};

export const HttpStatusCode = { ContentTooLarge: 413, UnprocessableContent: 422 };

for (const [first, names] of Object.entries(NAMES)) {
  names.split(" ").forEach((name, at) => {
    HttpStatusCode[name] = Number(first) + at;
    HttpStatusCode[Number(first) + at] = name;
  });
}
