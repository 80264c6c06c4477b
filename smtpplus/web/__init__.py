"""The role people see in a browser: pages made on the server, with and without JavaScript.

`site.make_site` gives the Twisted site, `service.WebService` listens with it,
`sign_in.issue_sign_in` makes a one-time link. Everything shown may be hostile (subjects, HELO
names, replies): it is escaped in one place, `templates.Templates`.
"""
