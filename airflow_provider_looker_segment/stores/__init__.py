"""Where a run keeps what it must not lose: chunks in XCom."""
