"""What a message is made of: headers, parts, signatures, reports. No I/O, no clock."""
