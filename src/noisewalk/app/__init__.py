"""`noisewalk app`: a web page that runs `noisewalk sample` and shows the draws as they come."""
