"""The one HTTP client of the connectors: who it is (auth), how often (pace), what an answer means (rule), what next."""

from connectors.http.auth import Auth, Basic, NoAuth, StaticHeader, Token, TokenLogin
from connectors.http.client import Answer, HttpClient, Rule
from connectors.http.pace import Pace

__all__ = ["Answer", "Auth", "Basic", "HttpClient", "NoAuth", "Pace", "Rule", "StaticHeader", "Token", "TokenLogin"]
