// The page that lists all tools. It has links only, and does nothing by itself.
