"""The review page: on which a person looks at and listens to what the rules found, and decides."""
