//! Sessions: minted, sealed into tokens, cached, and the one way from a signed request to its session.
