"""What is looked at and listened to in a browser: the review page, and the report."""
