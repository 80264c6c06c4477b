"""Opens, clicks and unsubscribes: what recipients' programs ask of us.

`front.TrackingFront` answers opens and clicks by their token alone, at once; `recorder.Recorder`
classes and writes them afterwards, in groups. `unsubscribe.UnsubscribePages` changes something by
POST alone, and before it answers. No cookie is set or read here, no session is needed, and any
Host is answered: the token is the right.
"""
