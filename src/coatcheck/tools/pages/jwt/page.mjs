// The JWT decoder's page.
