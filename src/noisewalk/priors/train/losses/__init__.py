"""What a training minimises: a loss per image, and the distance and the noise that losses share."""
